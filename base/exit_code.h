// Exit codes of the three programs, as in sysexits.h, and which error ends a program with which code.
#pragma once

#include "absl/status/status.h"

namespace deeprack {

enum class ExitCode : int {
  kOk = 0,
  kUsage = 64,        // the command line is wrong
  kBadWeights = 65,   // the checkpoint is damaged or incomplete
  kUnavailable = 69,  // a process, a machine or a port is not available
  kInternal = 70,     // a bug
  // Overloaded, not ready yet, or refused a thread or memory by the system. A worker: a new process may do
  // better.
  kTryAgain = 75,
  kConfiguration = 78  // the settings do not fit the model, the machine or this build
};

// For an error of serving, or of talking to a server: `deeprack` and deeprack-coordinator.
ExitCode ExitCodeOf(const absl::Status& status);

// For an error of a worker's load. What a rank does not find, or finds wrong, is the checkpoint's fault: the
// settings were checked before the ranks saw them. Memory that is too small is the configuration's.
ExitCode ExitCodeOfLoad(const absl::Status& status);

// For the reason why a worker left the cluster, when its model was loaded.
ExitCode ExitCodeOfLeaving(const absl::Status& status);

}  // namespace deeprack
