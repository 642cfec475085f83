// A child process in a process group of its own. The child ends when this process ends.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace deeprack::cli {

class ChildProcess {
 public:
  // Starts command[0] (looked up in PATH). `environment`: "NAME=value" sets NAME when it is not set yet,
  // "NAME" alone removes the variable. Standard input is empty; standard output is this process's standard
  // error, or a pipe to read when `pipe_output`. The kernel sends the child SIGTERM when the calling thread
  // ends. NotFound: no such program.
  static absl::StatusOr<ChildProcess> Start(const std::vector<std::string>& command,
                                            const std::vector<std::string>& environment, bool pipe_output);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&&) = delete;
  ~ChildProcess();  // kills its group if it still runs

  // The exit code (128 + signal when one ended it) once it has ended; nullopt while it runs. Does not block.
  // Shells and mpirun end with 128 + signal when a signal ended their program, too.
  std::optional<int> Poll();
  // As Poll, but waits up to `time` for the end.
  std::optional<int> WaitFor(std::chrono::milliseconds time);

  void Signal(int number);  // sends the signal to the process
  // SIGTERM, and after `patience` SIGKILL to the whole group. Returns the exit code.
  int Stop(std::chrono::milliseconds patience);

  // The read end of its standard output (with pipe_output), -1 otherwise.
  int output() const { return output_; }
  pid_t pid() const { return pid_; }

 private:
  ChildProcess(pid_t pid, int output) : pid_(pid), output_(output) {}

  pid_t pid_ = -1;
  int output_ = -1;
  std::optional<int> exit_code_;
};

// "exit code 65" or "signal 9 (Killed)", for the result of Poll. A code over 128 that stands for no signal is
// an exit code: mpirun ends with 243 when it cannot start.
std::string DescribeEnd(int exit_code);

// The exit code of this command after a child process has ended unexpectedly with `exit_code`: the same if
// base/exit_code.h has it; kInternal for 0; kUnavailable for a signal and for other programs' codes.
int ExitCodeAfter(int exit_code);

}  // namespace deeprack::cli
