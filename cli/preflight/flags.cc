#include "cli/preflight/flags.h"

#include <CLI/CLI.hpp>

#include "absl/strings/str_cat.h"
#include "base/rpc/address.h"
#include "base/status_macros.h"
#include "cli/serve/serve.h"
#include "settings/setting.h"

namespace deeprack::cli {

void PreflightFlags::AddTo(CLI::App& command) {
  AddSettingFlags(command, Program::kServe, serve_);
  command.add_option("--cluster", serve_.config, "The YAML file of the rack: the same as --config.");
  command
      .add_option("--agents", options_.agents,
                  "host:port of agents that run already, where nothing can start them:\n"
                  "`deeprack preflight-agent` on each host. Without it: they are started on\n"
                  "--hosts, as ranks are.")
      ->delimiter(',');
  command.add_flag("--json", options_.json, "Print JSON instead of a table.");
  command
      .add_option("--digest", digest_,
                  "How files of the model are compared. samples: by size, the first MiB and 16\n"
                  "samples of each. full: by all bytes, which reads the whole model.")
      ->check(CLI::IsMember({"samples", "full"}))
      ->capture_default_str();
  command.add_option("--timeout", options_.timeout, "Seconds until a host that gives no answer has failed.")
      ->check(CLI::Range(1.0, 3600.0))
      ->capture_default_str();
  command
      .add_option("--least-bandwidth", least_gigabytes_,
                  "The least GB/s of each link, by one TCP stream. 0: no floor.")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  command
      .add_option("--least-share", options_.limits.least_share,
                  "The least share of what is usual: the median of the hosts' fastest links.")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command
      .add_option("--clock-skew", options_.limits.most_clock_skew,
                  "The most seconds between a host's clock and this machine's.")
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str();
}

absl::StatusOr<Settings> PreflightFlags::LoadSettings() const {
  if (options_.agents.empty()) return LoadServeSettings(serve_.values, serve_.config);
  DR_ASSIGN_OR_RETURN(Settings settings,
                      deeprack::LoadSettings(Program::kCoordinator, serve_.values, serve_.config));
  DR_ASSIGN_OR_RETURN(const Settings worker,
                      deeprack::LoadSettings(Program::kWorker, serve_.values, serve_.config));
  settings.coordinator = worker.coordinator;
  settings.backend = worker.backend;
  settings.packed = worker.packed;
  if (settings.model.empty()) return settings;  // CheckRack says so
  DR_RETURN_IF_ERROR(CompleteSettings(settings));
  return settings;
}

absl::StatusOr<RackCheckOptions> PreflightFlags::Options(const std::string& version) const {
  for (const std::string& agent : options_.agents) {
    if (const auto address = ParseHostPort(agent); !address.ok())
      return absl::InvalidArgumentError(absl::StrCat("--agents: ", address.status().message()));
  }
  RackCheckOptions options = options_;
  options.version = version;
  options.full_digests = digest_ == "full";
  options.limits.least_bandwidth = least_gigabytes_ * 1e9;
  return options;
}

void AgentFlags::AddTo(CLI::App& command) {
  command.add_option("--listen", options_.listen,
                     "host:port where `deeprack preflight` reaches this agent. Without it: any free port.");
  command.add_option("--towards", options_.towards, "host:port of the coordinator.");
  command.add_option(FlagOf(&Settings::cluster_tls), options_.cluster_tls,
                     "The folder of certificates, as for `deeprack serve`. Needed beyond loopback.");
  command
      .add_option("--idle-seconds", options_.idle_seconds,
                  "End after this time without a question. 0: only a signal ends the agent.")
      ->check(CLI::Range(0.0, 1e9));
}

AgentOptions AgentFlags::Options(const std::string& version) const {
  AgentOptions options = options_;
  options.version = version;
  return options;
}

}  // namespace deeprack::cli
