// Starts agents as `deeprack serve` starts ranks: through mpirun and its launch agent (ssh).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cli/serve/child_process.h"
#include "settings/settings.h"

namespace deeprack::cli {

struct AgentPlace {
  std::string host;     // as --hosts or --agents names it
  std::string address;  // host:port of the agent; "": none
  std::string failure;  // why there is none
};

// The command that starts an agent on `host`, or on this machine without mpirun when `host` is "". `as_root`:
// as in WorkersCommand. `towards`: the coordinator's address.
std::vector<std::string> AgentCommand(const std::string& program, const std::string& host,
                                      const std::string& towards, const std::string& cluster_tls,
                                      bool as_root);

// Starts agents. The destructor ends them.
class LaunchedAgents {
 public:
  // Starts one agent on each of settings.hosts by an mpirun of its own, so that a host that fails does not
  // end the agents of the others; without hosts, one agent on this machine. Waits up to `patience` for all
  // addresses. Call on the thread that outlives the object.
  LaunchedAgents(const Settings& settings, const std::string& towards, absl::Duration patience);
  ~LaunchedAgents();

  const std::vector<AgentPlace>& places() const { return places_; }

 private:
  void ReadAddresses(absl::Time deadline, absl::Duration patience);

  std::vector<AgentPlace> places_;
  std::vector<std::optional<ChildProcess>> children_;  // [places]; nullopt: it did not start
};

}  // namespace deeprack::cli
