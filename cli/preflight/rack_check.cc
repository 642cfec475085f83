#include "cli/preflight/rack_check.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/exit_code.h"
#include "base/rpc/address.h"
#include "base/rpc/cluster_tls.h"
#include "base/rpc/credentials.h"
#include "cli/preflight/agent_launch.h"
#include "cli/preflight/control_probe.h"
#include "cli/preflight/measure.h"
#include "cli/preflight/nccl_test.h"
#include "cli/preflight/ports.h"
#include "cli/preflight/rack_needs.h"
#include "cli/preflight/report.h"
#include "cli/preflight/tcp.h"
#include "cli/serve/start_check.h"
#include "cli/terminal/terminal.h"
#include "model/layout/layout.h"

namespace deeprack::cli {
namespace {

constexpr double kNcclPatience = 4;  // times --timeout

Finding Failed(std::string check, std::string subject, const absl::Status& status, std::string remedy) {
  return {std::move(check), std::move(subject), Verdict::kFail, std::string(status.message()),
          std::move(remedy)};
}

// The head machine's two ports, held by this object as the coordinator will hold them.
class HeadPorts {
 public:
  // Both ports get a row in `findings`. `agents`: options.agents.
  HeadPorts(const Settings& settings, const std::vector<std::string>& agents,
            const std::optional<ClusterTls>& tls, Findings& findings) {
    const HostPort cluster = *ParseHostPort(settings.cluster_address);  // CheckCluster has checked it
    absl::Status free = Listen(cluster).status();
    int port = cluster.port;
    if (free.ok()) {
      grpc::ServerBuilder builder;
      builder.AddListeningPort(settings.cluster_address, ServerCredentials(tls), &port);
      builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
      builder.RegisterService(&echo_);
      server_ = builder.BuildAndStart();
      if (server_ == nullptr)
        free = absl::UnavailableError(absl::StrCat("gRPC cannot listen at ", settings.cluster_address));
    }
    const std::string host = HostForRanks(settings, cluster, agents);
    control_ = ToString({.host = host, .port = static_cast<uint16_t>(port)});
    findings.push_back(RowOf(cluster, free));

    const HostPort http{.host = settings.host, .port = static_cast<uint16_t>(settings.port)};
    auto listener = Listen(http);
    findings.push_back(RowOf(http, listener.status()));
    if (const auto own = OwnAddressTowards(host); own.ok()) own_ = *own;
    if (!listener.ok() || IsLoopback(http.host)) return;
    http_ = ToString(
        {.host = IsWildcard(http.host) ? own_ : http.host, .port = static_cast<uint16_t>(PortOf(*listener))});
    listener_ = *std::move(listener);
  }

  const std::string& control() const { return control_; }  // host:port where workers reach the coordinator
  const std::string& http() const { return http_; }        // "": loopback, or it cannot be bound
  const std::string& own() const { return own_; }          // this machine's address

 private:
  // The host by which ranks reach the coordinator: the one in the workers' setting `coordinator`, or else the
  // one in --cluster-address. Where the coordinator listens on every interface: this machine's address on the
  // way to the first agent.
  static std::string HostForRanks(const Settings& settings, const HostPort& cluster,
                                  const std::vector<std::string>& agents) {
    if (const auto told = ParseHostPort(settings.coordinator); told.ok()) return told->host;
    if (!IsWildcard(cluster.host) || agents.empty()) return cluster.host;
    const auto own = OwnAddressTowards(ParseHostPort(agents[0])->host);  // the flags' reader has checked it
    return own.ok() ? *own : cluster.host;
  }

  static Finding RowOf(const HostPort& address, const absl::Status& bound) {
    const bool in_use = absl::IsAlreadyExists(bound);
    return JudgePort(address.port == 0 ? absl::StrCat(address.host, ", any free port") : ToString(address),
                     in_use, in_use ? HolderOf(address.port) : "",
                     in_use ? "" : std::string(bound.message()));
  }

  EchoService echo_;
  std::unique_ptr<grpc::Server> server_;
  Socket listener_;
  std::string control_, http_, own_;
};

// The hosts and their agents; some may have failed.
void NameHosts(const Settings& settings, const RackCheckOptions& options,
               std::optional<LaunchedAgents>& launched, const HeadPorts& ports, preflight::Rack& rack) {
  if (options.agents.empty()) {
    launched.emplace(settings, ports.control(), absl::Seconds(options.timeout));
    for (const AgentPlace& place : launched->places()) {
      preflight::Host& host = *rack.add_hosts();
      host.set_name(place.host.empty() ? "this machine" : place.host);
      host.set_address(place.address);
      host.set_failure(place.failure);
    }
  }
  for (const std::string& agent : options.agents) {
    preflight::Host& host = *rack.add_hosts();
    host.set_name(agent.substr(0, agent.rfind(':')));
    host.set_address(agent);
  }
}

void Tell(const std::string& text) { std::fprintf(stderr, "deeprack: %s\n", text.c_str()); }

void Add(Findings& findings, Findings more) {
  std::move(more.begin(), more.end(), std::back_inserter(findings));
}

Finding TestNccl(const Settings& settings, const RackCheckOptions& options) {
  if (!options.agents.empty() || settings.workers == "external") {
    return {"nccl", "all cards", Verdict::kWarning, "not tested: there is no launcher",
            "run all_reduce_perf of NVIDIA's nccl-tests over all hosts by hand"};
  }
  return RunNcclTest(settings.hosts, settings.layout().world_size(), geteuid() == 0,
                     absl::Seconds(kNcclPatience * options.timeout));
}

void JudgeRack(const Settings& settings, const RackCheckOptions& options, const HeadPorts& ports,
               const preflight::Rack& rack, Findings& findings) {
  const auto counted = CountNeeds(settings, rack);
  const RackNeeds needs = counted.value_or(RackNeeds{});
  Add(findings, JudgeAgents(rack, options.version));
  Add(findings, JudgeClocks(rack, options.limits));
  Add(findings, JudgeControl(rack, options.limits, ports.control(), ports.own(), ports.http()));
  Add(findings, JudgeLinks(rack, options.limits));
  Add(findings, JudgeModel(rack));
  if (counted.ok()) {
    Add(findings, JudgeMemory(rack, needs));
    Add(findings, JudgeMachines(rack, needs, settings.max_connections));
    Add(findings, JudgeCards(rack, needs));
  } else {
    const bool readable = ReadModelConfig(settings.model).ok();
    findings.push_back(
        {"memory", "all hosts", Verdict::kWarning,
         readable ? "not counted: the settings are refused" : "not counted: the model cannot be read here",
         absl::StrCat("mend the ", readable ? "settings" : "model", " first, then run preflight again")});
  }
  if (needs.on_cards && IsFit(findings)) findings.push_back(TestNccl(settings, options));
}

// For a model that cannot be served with `settings`.
std::string RemedyOf(const Settings& settings) {
  const auto config = ReadModelConfig(settings.model);
  if (!config.ok()) return "name a model's folder or GGUF that this machine can read, or copy the model anew";
  if (!CheckSuits(*config, settings).ok()) return "change this setting in the rack's file or flags";
  return "copy the model's weights anew, or name another model";
}

void Examine(const Settings& settings, const RackCheckOptions& options, preflight::Rack& rack,
             Findings& findings) {
  if (const absl::Status cluster = CheckCluster(settings); !cluster.ok()) {
    findings.push_back(
        Failed("settings", "cluster", cluster, "mend the settings first: nothing else was checked"));
    return;
  }
  if (settings.workers == "external" && options.agents.empty()) {
    findings.push_back({"settings", "--workers external", Verdict::kFail, "ranks are started elsewhere",
                        "start `deeprack preflight-agent` on each host, and name the agents with --agents"});
    return;
  }
  if (settings.model.empty()) {
    findings.push_back({"settings", "MODEL", Verdict::kFail,
                        "no model is named, and the coordinator needs one",
                        "add `model: FOLDER` to the rack's file, or name the model before the flags"});
    return;
  }
  const absl::Status model = CheckModel(settings);
  if (model.ok()) {
    findings.push_back({"settings", model::ToString(settings.layout()), Verdict::kOk, "suit the model", ""});
  } else {
    findings.push_back(Failed("settings", settings.model, model, RemedyOf(settings)));
  }
  MeasureOptions measure{.model = settings.model,
                         .weights = settings.load_format != "dummy",
                         .full = options.full_digests,
                         .packed = settings.packed,
                         .least_share = options.limits.least_share,
                         .patience = absl::Seconds(options.timeout)};
  if (!settings.cluster_tls.empty())
    measure.tls = *LoadClusterTls(settings.cluster_tls);  // CheckCluster: it is good
  const HeadPorts ports(settings, options.agents, measure.tls, findings);
  measure.control = ports.control();
  measure.http = ports.http();
  std::optional<LaunchedAgents> launched;
  if (options.agents.empty()) Tell("starting the agents");
  NameHosts(settings, options, launched, ports, rack);
  AssignRanks(settings, rack);
  rack.set_full_digests(options.full_digests);
  Tell("asking the hosts");
  AskHosts(measure, rack);
  if (rack.hosts_size() > 1) Tell("measuring the links");
  MeasureLinks(measure, rack);
  launched.reset();
  ReadOwnFiles(measure, rack);
  JudgeRack(settings, options, ports, rack, findings);
}

}  // namespace

int CheckRack(const Settings& settings, const RackCheckOptions& options) {
  preflight::Rack rack;
  Findings findings;
  Examine(settings, options, rack, findings);
  const std::string text =
      options.json ? ReportJson(findings, rack) : ReportTable(findings, StyleOfStandardOutput().colours);
  std::fputs(text.c_str(), stdout);
  return static_cast<int>(IsFit(findings) ? ExitCode::kOk : ExitCode::kUnavailable);
}

}  // namespace deeprack::cli
