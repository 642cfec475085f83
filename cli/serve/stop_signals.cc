#include "cli/serve/stop_signals.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/check.h"

namespace deeprack::cli {

StopSignals::StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGHUP);
  DR_CHECK(sigprocmask(SIG_BLOCK, &signals, &previous_) == 0);
  fd_ = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  DR_CHECK(fd_ >= 0);
}

StopSignals::~StopSignals() {
  signalfd_siginfo info;  // a signal during the stop has no further effect
  while (read(fd_, &info, sizeof(info)) > 0) {
  }
  close(fd_);
  sigprocmask(SIG_SETMASK, &previous_, nullptr);
}

bool StopSignals::WaitFor(absl::Duration time) {
  pollfd wait{.fd = fd_, .events = POLLIN};
  if (poll(&wait, 1, static_cast<int>(absl::ToInt64Milliseconds(time))) > 0) {
    signalfd_siginfo info;
    if (read(fd_, &info, sizeof(info)) == sizeof(info)) ++count_;
  }
  return arrived();
}

}  // namespace deeprack::cli
