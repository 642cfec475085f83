#include "cli/serve/commands.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/rpc/address.h"
#include "settings/hand_over.h"
#include "settings/setting.h"

namespace deeprack::cli {
namespace {

// The worker's settings, as far as `serve` knows them.
Settings WorkerSettings(const Settings& settings, const CoordinatorPorts& ports) {
  Settings of_worker = settings;
  of_worker.coordinator = CoordinatorAddress(settings, ports);
  if (of_worker.packed.empty()) of_worker.packed_check = DefaultsOf(Program::kWorker).packed_check;
  return of_worker;
}

std::vector<std::string> CommandOf(const std::string& program, const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {program};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

}  // namespace

std::vector<std::string> CoordinatorCommand(const std::string& program, const Settings& settings) {
  Settings of_coordinator = settings;
  of_coordinator.ep = settings.layout().ep;
  return CommandOf(program, ArgumentsFor(Program::kCoordinator, of_coordinator));
}

std::string CoordinatorAddress(const Settings& settings, const CoordinatorPorts& ports) {
  const std::string& address = settings.cluster_address;
  return absl::StrCat(address.substr(0, address.rfind(':')), ":", ports.cluster);
}

std::string LauncherHint(const std::vector<HostSlots>& hosts, int exit_code) {
  const bool of_a_rank = exit_code == 0 || (exit_code >= 64 && exit_code <= 78) ||  // base/exit_code.h
                         (exit_code > 128 && exit_code < 128 + 65);                 // signals
  const auto other =
      std::find_if(hosts.begin(), hosts.end(), [](const HostSlots& host) { return !IsLoopback(host.host); });
  if (of_a_rank || other == hosts.end()) return "";
  const std::string names =
      absl::StrJoin(hosts, ", ", [](std::string* out, const HostSlots& host) { out->append(host.host); });
  return absl::StrCat("; does mpirun reach every host (", names, ")? Try `ssh ", hosts.back().host,
                      " true` and the same for each host, or run `deeprack preflight` with these settings");
}

std::vector<std::string> ExternalWorkerCommand(const Settings& settings, const CoordinatorPorts& ports) {
  const Settings defaults = DefaultsOf(Program::kWorker);
  Settings of_worker = WorkerSettings(settings, ports);
  of_worker.threads = defaults.threads;  // the coordinator tells the ranks
  of_worker.log_level = defaults.log_level;
  return CommandOf("deeprack-worker", ArgumentsFor(Program::kWorker, of_worker));
}

std::vector<std::string> WorkersCommand(const std::string& program, const Settings& settings,
                                        const CoordinatorPorts& ports, bool as_root) {
  const int32_t ranks = settings.layout().world_size();
  std::vector<std::string> command;
  if (ranks > 1 || !settings.hosts.empty()) {
    command = {"mpirun", "--oversubscribe", "--bind-to", "none", "-n", absl::StrCat(ranks)};
    if (as_root) command.push_back("--allow-run-as-root");
    if (!settings.hosts.empty()) {
      command.push_back("--host");  // mpirun's
      command.push_back(HostsText(settings.hosts));
      // Another machine's login may set variables of settings, which win over the worker's defaults.
      command.push_back("env");
      for (const std::string& variable : SettingVariables()) {
        command.push_back("-u");
        command.push_back(variable);
      }
    }
  }
  for (std::string& part :
       CommandOf(program, ArgumentsFor(Program::kWorker, WorkerSettings(settings, ports))))
    command.push_back(std::move(part));
  return command;
}

}  // namespace deeprack::cli
