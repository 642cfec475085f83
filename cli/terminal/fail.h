// How a command ends after an error: a line on standard error, and the exit code.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace deeprack::cli {

// Prints "deeprack: MESSAGE". Returns ExitCodeOf(status). `status` is not OK.
int Fail(const absl::Status& status);

// Prints "deeprack: MESSAGE". Returns ExitCode::kUsage: the command line is wrong.
int FailUsage(const std::string& message);

// As FailUsage for InvalidArgument, as Fail for other errors: for a command whose flags are what can be an
// invalid argument.
int FailByFlags(const absl::Status& status);

}  // namespace deeprack::cli
