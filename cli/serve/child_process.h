// A child process in its own process group that never outlives this one.
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
  // Starts command[0] (looked up in PATH). `environment`: "NAME=value" is set where NAME is not set already,
  // "NAME" alone is taken away. Standard input is empty; standard output is this process's standard error, or
  // a pipe to read when `pipe_output`. The kernel sends the child SIGTERM when the calling thread ends.
  // NotFound: no such program.
  static absl::StatusOr<ChildProcess> Start(const std::vector<std::string>& command,
                                            const std::vector<std::string>& environment, bool pipe_output);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&&) = delete;
  ~ChildProcess();  // kills its group if it still runs

  // The exit code (128 + signal when one ended it) once it has ended; nullopt while it runs. Does not block.
  std::optional<int> Poll();
  // As Poll, but waits for so long.
  std::optional<int> WaitFor(std::chrono::milliseconds time);

  void Signal(int number);  // to the process
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

// "exit code 65", "signal 9 (Killed)": for an exit code as Poll gives it.
std::string DescribeEnd(int exit_code);

}  // namespace deeprack::cli
