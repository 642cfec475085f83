#include "cli/pack/pack.h"

#include <cstdio>

#include "base/exit_code.h"
#include "cli/serve/with_server.h"
#include "cli/terminal/terminal.h"

namespace deeprack::cli {

int Pack(Settings options) {
  if (options.workers == "external") {
    std::fprintf(stderr,
                 "deeprack: pack does not go with --workers external: it starts the ranks itself. Start each "
                 "external worker with the folder of packed weights instead\n");
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
