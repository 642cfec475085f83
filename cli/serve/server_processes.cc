#include "cli/serve/server_processes.h"

#include <poll.h>
#include <unistd.h>

#include <chrono>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/http/http_client.h"
#include "cli/serve/programs.h"
#include "cli/terminal/exit_code.h"

namespace deeprack::cli {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(50);
// Time for streams to end with their last event once the ranks are gone, and for processes to end when told.
constexpr auto kLastEvents = std::chrono::seconds(2);
constexpr auto kWorkersLeave = std::chrono::seconds(3);
constexpr auto kPatience = std::chrono::seconds(8);
constexpr size_t kLongestPortsLine = 4096;

// OpenMPI inside containers: copying from another process's memory is often forbidden there, and hardware
// that is not there is no news. Whoever sets these knows better.
const std::vector<std::string>& WorkerEnvironment() {
  static const std::vector<std::string> variables = {"OMPI_MCA_btl_vader_single_copy_mechanism=none",
                                                     "OMPI_MCA_btl_base_warn_component_unused=0"};
  return variables;
}

ServeEnd EndWith(const absl::Status& status) {
  return {static_cast<int>(ExitCodeOf(status)), std::string(status.message())};
}

// This command's own exit code when a process ended that was not asked to: the process's, where it says
// something.
int AsFailure(int exit_code) {
  if (exit_code > 128) return static_cast<int>(ExitCode::kUnavailable);  // a signal: the peer was lost
  return exit_code != 0 ? exit_code : static_cast<int>(ExitCode::kInternal);
}

}  // namespace

std::optional<ServeEnd> ServerProcesses::StartAndWaitUntilReady(
    const std::function<void(const ReadyState&)>& on_state) {
  if (auto end = StartCoordinator()) return end;
  if (options_.workers == "local") {
    if (auto end = StartWorkers()) return end;
  }
  while (true) {
    if (auto end = CheckEnd()) return end;
    const auto state = AskReady(absl::Seconds(5));
    if (absl::IsInternal(state.status())) return EndWith(state.status());  // not what it should be
    if (state.ok()) {
      on_state(*state);
      if (state->state == "ready") return std::nullopt;
      if (state->state == "failed") return Failed(state->message);
    }
    signals_->WaitFor(kTick);
  }
}

std::optional<ServeEnd> ServerProcesses::StartCoordinator() {
  const auto program = FindProgram("deeprack-coordinator");
  if (!program.ok()) return EndWith(program.status());
  // The configuration file has been read here; it may hold settings that are none of the coordinator's.
  auto child =
      ChildProcess::Start(CoordinatorCommand(*program, options_), {"DEEPRACK_CONFIG"}, /*pipe_output=*/true);
  if (!child.ok()) return EndWith(child.status());
  coordinator_.emplace(*std::move(child));
  return ReadPorts();
}

std::optional<ServeEnd> ServerProcesses::ReadPorts() {
  std::string line;
  while (line.empty() || line.back() != '\n') {
    if (signals_->WaitFor(absl::ZeroDuration())) return ServeEnd{};
    pollfd wait{.fd = coordinator_->output(), .events = POLLIN};
    if (poll(&wait, 1, static_cast<int>(absl::ToInt64Milliseconds(kTick))) <= 0) continue;
    char byte = 0;
    if (read(coordinator_->output(), &byte, 1) != 1) {  // it ended, and has said why
      const int code = coordinator_->WaitFor(kPatience).value_or(static_cast<int>(ExitCode::kInternal));
      return ServeEnd{AsFailure(code), absl::StrCat("the coordinator did not start: ", DescribeEnd(code))};
    }
    line.push_back(byte);
    if (line.size() > kLongestPortsLine) break;
  }
  const auto ports = ParsePorts(line);
  if (!ports.ok()) return EndWith(ports.status());
  ports_ = *ports;
  const bool any = options_.host.empty() || options_.host == "0.0.0.0" || options_.host == "::";
  url_ = {.host = any ? "127.0.0.1" : options_.host, .port = absl::StrCat(ports_.http)};
  return std::nullopt;
}

std::optional<ServeEnd> ServerProcesses::StartWorkers() {
  const auto program = FindProgram("deeprack-worker");
  if (!program.ok()) return EndWith(program.status());
  const auto command = WorkersCommand(*program, options_, ports_, geteuid() == 0);
  auto child = ChildProcess::Start(command, WorkerEnvironment(), /*pipe_output=*/false);
  if (!child.ok()) return EndWith(child.status());
  workers_.emplace(*std::move(child));
  workers_started_ = absl::Now();
  return std::nullopt;
}

absl::StatusOr<ReadyState> ServerProcesses::AskReady(absl::Duration patience) const {
  const auto answer = HttpGet(url_, "/ready", patience);
  if (!answer.ok()) return absl::UnavailableError(answer.status().message());
  return ParseReadyState(answer->body);
}

std::optional<ServeEnd> ServerProcesses::CheckEnd() {
  if (auto end = CheckCoordinator()) return end;
  if (workers_.has_value()) {
    if (const auto code = workers_->Poll()) return WorkersEnded(*code);
  }
  return std::nullopt;
}

std::optional<ServeEnd> ServerProcesses::CheckCoordinator() {
  if (signals_->WaitFor(absl::ZeroDuration())) return ServeEnd{};
  // The coordinator first: when it goes, the workers follow, and are not the cause.
  if (const auto code = coordinator_->Poll()) {
    return ServeEnd{AsFailure(*code), absl::StrCat("the coordinator (pid ", coordinator_->pid(),
                                                   ") has ended: ", DescribeEnd(*code))};
  }
  return std::nullopt;
}

ServeEnd ServerProcesses::WorkersEnded(int exit_code) {
  // The coordinator notices by itself; its streams get their error events before it is stopped.
  const auto deadline = absl::Now() + absl::FromChrono(kLastEvents);
  while (absl::Now() < deadline && !signals_->WaitFor(kTick) && !coordinator_->Poll().has_value()) {
  }
  std::string message =
      absl::StrCat("the workers (pid ", workers_->pid(), ") have ended: ", DescribeEnd(exit_code));
  const auto state = AskReady(absl::Seconds(1));
  if (state.ok() && state->state == "failed") absl::StrAppend(&message, "; ", state->message);
  return {AsFailure(exit_code), message};
}

// Not ready and never will be. Whoever is the cause usually ends with a telling exit code.
ServeEnd ServerProcesses::Failed(const std::string& message) {
  ServeEnd end{static_cast<int>(ExitCode::kUnavailable), message};
  if (workers_.has_value()) {
    if (const auto code = workers_->WaitFor(kLastEvents); code.has_value() && *code != 0 && *code <= 128)
      end.exit_code = *code;
  }
  return end;
}

void ServerProcesses::Stop() {
  if (coordinator_.has_value()) coordinator_->Stop(kPatience);
  if (workers_.has_value()) {
    workers_->WaitFor(kWorkersLeave);
    workers_->Stop(kPatience);
  }
}

}  // namespace deeprack::cli
