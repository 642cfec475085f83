// A coordinator and its ranks as processes of this machine (or started from it), from first to last breath.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
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

class Cluster {
 public:
  // options.model is set and has passed Preflight. `signals` outlives this.
  Cluster(ServeOptions options, StopSignals* signals) : options_(std::move(options)), signals_(signals) {}
  // Stops everything.
  ~Cluster() { Stop(); }

  // Starts the processes and follows /ready until requests are served; `on_state` sees each answer. nullopt:
  // ready.
  std::optional<ServeEnd> StartAndWaitUntilReady(const std::function<void(const ReadyState&)>& on_state);

  // Watches until a signal, the end of a process, or `until` says so (asked several times a second; then
  // nullopt).
  std::optional<ServeEnd> Watch(const std::function<bool()>& until);

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
  std::optional<ServeEnd> CheckReady();
  ServeEnd WorkersEnded(int exit_code);
  ServeEnd Failed(const std::string& message);

  const ServeOptions options_;
  StopSignals* const signals_;
  CoordinatorPorts ports_;
  Url url_;
  std::optional<ChildProcess> coordinator_;
  std::optional<ChildProcess> workers_;  // mpirun, or the only rank
};

}  // namespace deeprack::cli
