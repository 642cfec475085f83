// Where things are, relative to the running executable.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace deeprack::cli {

// The folder of this executable.
std::string ExecutableFolder();

// A program beside this one. FailedPrecondition with what to build when it is not there.
absl::StatusOr<std::string> FindProgram(const std::string& name);

// The demo model: $DEEPRACK_DEMO_MODEL, or demo/model of the source tree that this was built in, or
// share/deeprack/demo of an installation. FailedPrecondition with the places looked at.
absl::StatusOr<std::string> FindDemoModel();

// demo/questions.json, beside the demo model's folder.
absl::StatusOr<std::string> FindDemoQuestions();

}  // namespace deeprack::cli
