#include "cli/terminal/fail.h"

#include <cstdio>

#include "base/exit_code.h"

namespace deeprack::cli {

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "deeprack: %s\n", std::string(status.message()).c_str());
  return static_cast<int>(ExitCodeOf(status));
}

int FailUsage(const std::string& message) {
  std::fprintf(stderr, "deeprack: %s\n", message.c_str());
  return static_cast<int>(ExitCode::kUsage);
}

int FailByFlags(const absl::Status& status) {
  if (absl::IsInvalidArgument(status)) return FailUsage(std::string(status.message()));
  return Fail(status);
}

}  // namespace deeprack::cli
