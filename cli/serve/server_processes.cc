#include "cli/serve/server_processes.h"

#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/exit_code.h"
#include "cli/http/http_client.h"
#include "cli/serve/machine_check.h"
#include "cli/serve/programs.h"
#include "settings/hand_over.h"

namespace deeprack::cli {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(50);
// How long streams may take to get their last event after the ranks have ended, and how long processes may
// take to end after a signal.
constexpr auto kLastEvents = std::chrono::seconds(2);
constexpr auto kWorkersLeave = std::chrono::seconds(3);
constexpr auto kPatience = std::chrono::seconds(8);
constexpr size_t kLongestPortsLine = 4096;

// The environment of both programs is without the variables of settings: `serve` has read them and hands its
// settings over on the command lines.
//
// OpenMPI in a container: copying from another process's memory is often forbidden, and there is no fast
// network to warn about. Variables that the user has set are kept.
std::vector<std::string> WorkerEnvironment(const Settings& settings) {
  std::vector<std::string> variables = SettingVariables();
  for (std::string& variable : MpirunEnvironment()) variables.push_back(std::move(variable));
  if (const std::string warning = ShortSharedMemory(settings); !warning.empty()) {
    std::fprintf(stderr, "deeprack: warning: %s\n", warning.c_str());
    variables.push_back(kWithoutSharedMemory);
  }
  variables.push_back("OMPI_MCA_btl_vader_single_copy_mechanism=none");
  variables.push_back("OMPI_MCA_btl_base_warn_component_unused=0");
  return variables;
}

ServeEnd EndWith(const absl::Status& status) {
  return {static_cast<int>(ExitCodeOf(status)), std::string(status.message())};
}

}  // namespace

std::optional<ServeEnd> ServerProcesses::StartAndWaitUntilReady(
    const std::function<void(const ReadyState&)>& on_state) {
  if (auto end = StartCoordinator(options_)) return end;
  if (options_.workers == "local") {
    if (auto end = StartWorkers()) return end;
  }
  while (true) {
    if (auto end = CheckEnd()) return end;
    const auto state = AskReady(absl::Seconds(5));
    if (absl::IsInternal(state.status())) return EndWith(state.status());  // an answer that is not of /ready
    if (state.ok()) {
      on_state(*state);
      if (state->state == "ready") return std::nullopt;
      if (state->state == "failed") return Failed(state->message);
    }
    signals_->WaitFor(kTick);
  }
}

std::optional<ServeEnd> ServerProcesses::StartCoordinator(const Settings& settings) {
  const auto program = FindProgram("deeprack-coordinator");
  if (!program.ok()) return EndWith(program.status());
  auto child =
      ChildProcess::Start(CoordinatorCommand(*program, settings), SettingVariables(), /*pipe_output=*/true);
  if (!child.ok()) return EndWith(child.status());
  coordinator_.emplace(*std::move(child));
  coordinator_started_ = absl::Now();
  return ReadPorts();
}

std::optional<ServeEnd> ServerProcesses::ReadPorts() {
  std::string line;
  while (line.empty() || line.back() != '\n') {
    if (signals_->WaitFor(absl::ZeroDuration())) return ServeEnd{};
    pollfd wait{.fd = coordinator_->output(), .events = POLLIN};
    if (poll(&wait, 1, static_cast<int>(absl::ToInt64Milliseconds(kTick))) <= 0) continue;
    char byte = 0;
    if (read(coordinator_->output(), &byte, 1) !=
        1) {  // the coordinator ended; its own message is on standard error
      const int code = coordinator_->WaitFor(kPatience).value_or(static_cast<int>(ExitCode::kInternal));
      return ServeEnd{ExitCodeAfter(code),
                      absl::StrCat("the coordinator did not start: ", DescribeEnd(code))};
    }
    line.push_back(byte);
    if (line.size() > kLongestPortsLine) break;
  }
  const auto ports = ParsePorts(line);
  if (!ports.ok()) return EndWith(ports.status());
  ports_ = *ports;
  const bool any = options_.host.empty() || options_.host == "0.0.0.0" || options_.host == "::";
  url_ = {.host = any ? "127.0.0.1" : options_.host,
          .port = absl::StrCat(ports_.http),
          .key = KeyFromEnvironment()};
  return std::nullopt;
}

std::optional<ServeEnd> ServerProcesses::StartWorkers() {
  const auto program = FindProgram("deeprack-worker");
  if (!program.ok()) return EndWith(program.status());
  const auto command = WorkersCommand(*program, options_, ports_, geteuid() == 0);
  auto child = ChildProcess::Start(command, WorkerEnvironment(options_), /*pipe_output=*/false);
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
  // The coordinator first: when the coordinator ends, the workers end after it.
  if (const auto code = coordinator_->Poll()) {
    return ServeEnd{ExitCodeAfter(*code), absl::StrCat("the coordinator (pid ", coordinator_->pid(),
                                                       ") has ended: ", DescribeEnd(*code))};
  }
  return std::nullopt;
}

ServeEnd ServerProcesses::WorkersEnded(int exit_code) {
  // The coordinator needs a moment to send error events to its streams.
  const auto deadline = absl::Now() + absl::FromChrono(kLastEvents);
  while (absl::Now() < deadline && !signals_->WaitFor(kTick) && !coordinator_->Poll().has_value()) {
  }
  std::string message =
      absl::StrCat("the workers (pid ", workers_->pid(), ") have ended: ", DescribeEnd(exit_code));
  const auto state = AskReady(absl::Seconds(1));
  if (state.ok() && state->state == "failed") absl::StrAppend(&message, "; ", state->message);
  absl::StrAppend(&message, LauncherHint(options_.hosts, exit_code));
  return {ExitCodeAfter(exit_code), message};
}

// Serving has failed. A process that is the cause usually ends with an exit code of its own.
ServeEnd ServerProcesses::Failed(const std::string& message) {
  ServeEnd end{static_cast<int>(ExitCode::kUnavailable), message};
  if (workers_.has_value()) {
    if (const auto code = workers_->WaitFor(kLastEvents); code.has_value() && *code != 0)
      end.exit_code = ExitCodeAfter(*code);
  }
  return end;
}

// The coordinator lets running requests finish. A second signal to this program ends them.
void ServerProcesses::StopCoordinator() {
  const int signals = signals_->count();
  bool hurried = false;
  coordinator_->Signal(SIGTERM);
  absl::Time deadline = absl::Now() + absl::Seconds(options_.drain_seconds) + absl::FromChrono(kPatience);
  while (!coordinator_->Poll().has_value() && absl::Now() < deadline) {
    signals_->WaitFor(kTick);
    if (hurried || signals_->count() == signals) continue;
    hurried = true;
    coordinator_->Signal(SIGTERM);
    deadline = absl::Now() + absl::FromChrono(kPatience);
  }
  coordinator_->Stop(std::chrono::milliseconds(0));
}

void ServerProcesses::Stop() {
  if (coordinator_.has_value()) StopCoordinator();
  if (workers_.has_value()) {
    workers_->WaitFor(kWorkersLeave);
    workers_->Stop(kPatience);
  }
}

}  // namespace deeprack::cli
