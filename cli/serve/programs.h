// Finds programs and the demo model, relative to the running executable, and says what mpirun's environment
// needs.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace deeprack::cli {

// The folder of this executable.
std::string ExecutableFolder();

// The path of a program in the folder of this executable. FailedPrecondition when the program is not there.
absl::StatusOr<std::string> FindProgram(const std::string& name);

// What ChildProcess::Start shall set for mpirun. mpirun finds its own parts by PATH, and crashes without HOME
// when the user has no entry in /etc/passwd. An empty environment has neither. Variables that the user has
// set are kept.
std::vector<std::string> MpirunEnvironment();

// The demo model: $DEEPRACK_DEMO_MODEL, or demo/model of the source tree that this was built in, or
// share/deeprack/demo of an installation. FailedPrecondition names the places.
absl::StatusOr<std::string> FindDemoModel();

// demo/questions.json, beside the demo model's folder.
absl::StatusOr<std::string> FindDemoQuestions();

}  // namespace deeprack::cli
