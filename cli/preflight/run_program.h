// Runs a program to its end and reads what it prints.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace deeprack::cli {

struct ProgramEnd {
  int exit_code = 0;   // 128 + signal when a signal ended it
  std::string output;  // standard output, at most 1 MiB
};

// Starts command[0] (looked up in PATH). `environment`: as for ChildProcess::Start. NotFound: no such
// program. DeadlineExceeded: the program did not end within `patience`, and was ended.
absl::StatusOr<ProgramEnd> RunProgram(const std::vector<std::string>& command, absl::Duration patience,
                                      const std::vector<std::string>& environment = {});

}  // namespace deeprack::cli
