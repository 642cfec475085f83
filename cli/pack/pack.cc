#include "cli/pack/pack.h"

#include <cstdio>

#include "cli/serve/with_server.h"
#include "cli/terminal/exit_code.h"
#include "cli/terminal/terminal.h"

namespace deeprack::cli {

int Pack(ServeOptions options) {
  if (options.workers == "external") {
    std::fprintf(
        stderr,
        "deeprack: pack starts the ranks itself and cannot tell external ones where to pack to; give "
        "each of them --packed instead\n");
    return static_cast<int>(ExitCode::kConfiguration);
  }
  options.packed_check = "full";
  options.port = 0;
  const int exit_code = WithCluster(options, [](const Url&, const Cancelled&) { return 0; });
  if (exit_code == 0) {
    std::printf("packed weights of %s (%s) in %s\n", FormatRanks(options.layout().world_size()).c_str(),
                model::ToString(options.layout()).c_str(), options.packed.c_str());
  }
  return exit_code;
}

}  // namespace deeprack::cli
