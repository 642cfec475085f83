// Finds programs and the demo model, relative to the running executable.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace deeprack::cli {

// The folder of this executable.
std::string ExecutableFolder();

// The path of a program in the folder of this executable. FailedPrecondition when the program is not there.
absl::StatusOr<std::string> FindProgram(const std::string& name);

// The demo model: $DEEPRACK_DEMO_MODEL, or demo/model of the source tree that this was built in, or
// share/deeprack/demo of an installation. FailedPrecondition names the places.
absl::StatusOr<std::string> FindDemoModel();

// demo/questions.json, beside the demo model's folder.
absl::StatusOr<std::string> FindDemoQuestions();

}  // namespace deeprack::cli
