// SIGINT and SIGTERM as something to wait for, instead of something that happens.
#pragma once

#include <csignal>
#include <optional>

#include "absl/time/time.h"

namespace deeprack::cli {

// Blocks the signals for this thread and those it starts; they are restored when this goes. One at a time.
class StopSignals {
 public:
  StopSignals();
  StopSignals(const StopSignals&) = delete;
  ~StopSignals();

  // Waits until one arrives (it is consumed, and stays remembered) or the time has passed.
  bool WaitFor(absl::Duration time);
  bool arrived() const { return arrived_; }

 private:
  sigset_t previous_;
  int fd_ = -1;
  bool arrived_ = false;
};

}  // namespace deeprack::cli
