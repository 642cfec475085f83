// Waits for SIGINT and SIGTERM instead of handling them.
#pragma once

#include <csignal>
#include <optional>

#include "absl/time/time.h"

namespace deeprack::cli {

// Blocks both signals for this thread and the threads that it starts afterwards. The destructor restores the
// previous state. There is one object at a time.
class StopSignals {
 public:
  StopSignals();
  StopSignals(const StopSignals&) = delete;
  ~StopSignals();

  // Waits until a signal arrives or the time has passed. True: a signal has arrived, now or in an earlier
  // call.
  bool WaitFor(absl::Duration time);
  bool arrived() const { return count_ > 0; }
  int count() const { return count_; }  // of the signals that WaitFor has seen

 private:
  sigset_t previous_;
  int fd_ = -1;
  int count_ = 0;
};

}  // namespace deeprack::cli
