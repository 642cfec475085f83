// A coordinator and its ranks as processes of this machine (or started from it), from first to last breath.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/http/url.h"
#include "cli/serve/child_process.h"
#include "cli/serve/commands.h"
#include "cli/serve/ready_state.h"
#include "cli/serve/serve_options.h"
#include "cli/serve/stop_signals.h"

namespace deeprack::cli {

// How serving ended: asked to (code 0), or because a process did.
struct ServeEnd {
  int exit_code = 0;
  std::string message;  // for standard error; "" when it was asked to
};

class ServerProcesses {
 public:
  // options.model is set and has passed Preflight. `signals` outlives this.
  ServerProcesses(ServeOptions options, StopSignals* signals)
      : options_(std::move(options)), signals_(signals) {}
  // Stops everything.
  ~ServerProcesses() { Stop(); }

  // Starts the processes and follows /ready until requests are served; `on_state` sees each answer. nullopt:
  // ready.
  std::optional<ServeEnd> StartAndWaitUntilReady(const std::function<void(const ReadyState&)>& on_state);

  // Watches until a signal, the end of serving, or `until` says so (asked several times a second; then
  // nullopt). While the coordinator recovers from a loss, ranks that were started here and have ended are
  // started again, for as long as it waits for them; `tell` gets a line for people about that.
  std::optional<ServeEnd> Watch(const std::function<bool()>& until,
                                const std::function<void(const std::string&)>& tell);

  // Coordinator first, which lets streams end and workers go; then whatever is left. Safe to call twice.
  void Stop();

  const Url& url() const { return url_; }
  const CoordinatorPorts& ports() const { return ports_; }
  const ServeOptions& options() const { return options_; }

 private:
  std::optional<ServeEnd> StartCoordinator();
  std::optional<ServeEnd> StartWorkers();
  std::optional<ServeEnd> ReadPorts();
  // What happened if anything ended: a signal, the coordinator, the workers.
  std::optional<ServeEnd> CheckEnd();
  std::optional<ServeEnd> CheckCoordinator();
  absl::StatusOr<ReadyState> AskReady(absl::Duration patience) const;
  ServeEnd WorkersEnded(int exit_code);
  ServeEnd Failed(const std::string& message);

  // Watch's (watch.cc).
  using Tell = std::function<void(const std::string&)>;
  bool recovers() const { return options_.recovery_timeout != 0; }
  std::optional<ServeEnd> TakeWorkersEnd(const Tell& tell);
  std::optional<ServeEnd> TakeState(const ReadyState& state, const Tell& tell);
  std::optional<ServeEnd> ServingFailed(const std::string& message);
  std::optional<ServeEnd> RestartWorkers(const ReadyState& state, const Tell& tell);

  const ServeOptions options_;
  StopSignals* const signals_;
  CoordinatorPorts ports_;
  Url url_;
  std::optional<ChildProcess> coordinator_;
  std::optional<ChildProcess> workers_;  // mpirun, or the only rank

  // While serving.
  std::optional<absl::Time> paused_since_;  // /ready has said so long that the coordinator recovers
  absl::Time workers_started_ = absl::InfinitePast();
  absl::Time workers_ended_ = absl::InfinitePast();
  int last_exit_code_ = 0;  // of workers that have ended
  absl::Duration wait_;     // before the next start, after the workers' end
};

}  // namespace deeprack::cli
