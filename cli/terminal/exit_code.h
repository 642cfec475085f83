// Exit codes of the three programs, as in sysexits.h.
#pragma once

#include "absl/status/status.h"

namespace deeprack::cli {

enum class ExitCode : int {
  kOk = 0,
  kUsage = 64,         // the command line is wrong
  kBadWeights = 65,    // the checkpoint is damaged or incomplete
  kUnavailable = 69,   // a peer or a port cannot be had
  kInternal = 70,      // a bug
  kTryAgain = 75,      // overloaded or not ready yet
  kConfiguration = 78  // the settings do not fit the model or this build
};

// For an error met while serving or talking to a server.
inline ExitCode ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return ExitCode::kOk;
    case absl::StatusCode::kDataLoss:
      return ExitCode::kBadWeights;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
      return ExitCode::kUnavailable;
    case absl::StatusCode::kResourceExhausted:
      return ExitCode::kTryAgain;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnimplemented:
      return ExitCode::kConfiguration;
    default:
      return ExitCode::kInternal;
  }
}

}  // namespace deeprack::cli
