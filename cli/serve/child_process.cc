#include "cli/serve/child_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/exit_code.h"

namespace deeprack::cli {
namespace {

constexpr auto kPollEvery = std::chrono::milliseconds(10);

// Runs in the child between fork and exec. Writes errno to `failure` when it cannot become the program.
[[noreturn]] void BecomeProgram(char* const* argv, const std::vector<std::string>& environment,
                                int standard_output, int failure, pid_t parent) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(1);  // the parent ended before prctl
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  signal(SIGINT, SIG_DFL);
  const int empty = open("/dev/null", O_RDONLY);
  dup2(empty, STDIN_FILENO);
  dup2(standard_output, STDOUT_FILENO);
  for (const std::string& entry : environment) {
    const size_t equals = entry.find('=');
    if (equals == std::string::npos) {
      unsetenv(entry.c_str());
    } else {
      setenv(entry.substr(0, equals).c_str(), entry.c_str() + equals + 1, /*overwrite=*/0);
    }
  }
  execvp(argv[0], argv);
  const int error = errno;
  [[maybe_unused]] const ssize_t written = write(failure, &error, sizeof(error));
  _exit(127);
}

}  // namespace

absl::StatusOr<ChildProcess> ChildProcess::Start(const std::vector<std::string>& command,
                                                 const std::vector<std::string>& environment,
                                                 bool pipe_output) {
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);

  int output[2] = {-1, -1};
  int failure[2] = {-1, -1};
  if ((pipe_output && pipe2(output, O_CLOEXEC) != 0) || pipe2(failure, O_CLOEXEC) != 0) {
    return absl::ResourceExhaustedError(absl::StrCat("cannot make a pipe: ", std::strerror(errno)));
  }
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0)
    BecomeProgram(argv.data(), environment, pipe_output ? output[1] : STDERR_FILENO, failure[1], parent);
  const int fork_error = errno;
  close(failure[1]);
  if (pipe_output) close(output[1]);

  int error = 0;
  ssize_t got = 0;
  if (pid > 0) {
    do got = read(failure[0], &error, sizeof(error));
    while (got < 0 && errno == EINTR);
  }
  close(failure[0]);
  if (pid > 0 && got == 0) return ChildProcess(pid, output[0]);

  if (pipe_output) close(output[0]);
  if (pid < 0)
    return absl::ResourceExhaustedError(absl::StrCat("cannot start a process: ", std::strerror(fork_error)));
  waitpid(pid, nullptr, 0);
  return absl::NotFoundError(absl::StrCat("cannot start ", command[0], ": ", std::strerror(error)));
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      output_(std::exchange(other.output_, -1)),
      exit_code_(other.exit_code_) {}

ChildProcess::~ChildProcess() {
  if (pid_ > 0 && !exit_code_.has_value()) Stop(std::chrono::milliseconds(0));
  if (output_ >= 0) close(output_);
}

std::optional<int> ChildProcess::Poll() {
  if (exit_code_.has_value()) return exit_code_;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) == pid_) {
    exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  return exit_code_;
}

std::optional<int> ChildProcess::WaitFor(std::chrono::milliseconds time) {
  for (auto waited = std::chrono::milliseconds(0); !Poll().has_value() && waited < time;
       waited += kPollEvery) {
    std::this_thread::sleep_for(kPollEvery);
  }
  return exit_code_;
}

void ChildProcess::Signal(int number) {
  if (!Poll().has_value()) kill(pid_, number);
}

int ChildProcess::Stop(std::chrono::milliseconds patience) {
  Signal(SIGTERM);
  if (const auto code = WaitFor(patience)) return *code;
  kill(-pid_, SIGKILL);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return *exit_code_;
}

std::string DescribeEnd(int exit_code) {
  const int number = exit_code - 128;
  if (number <= 0 || sigabbrev_np(number) == nullptr) return absl::StrCat("exit code ", exit_code);
  return absl::StrCat("signal ", number, " (", strsignal(number), ")",
                      number == SIGKILL ? ", as the system does when memory runs out" : "");
}

int ExitCodeAfter(int exit_code) {
  switch (static_cast<ExitCode>(exit_code)) {
    case ExitCode::kOk:
      return static_cast<int>(ExitCode::kInternal);
    case ExitCode::kUsage:
    case ExitCode::kBadWeights:
    case ExitCode::kUnavailable:
    case ExitCode::kInternal:
    case ExitCode::kTryAgain:
    case ExitCode::kConfiguration:
      return exit_code;
  }
  return static_cast<int>(ExitCode::kUnavailable);
}

}  // namespace deeprack::cli
