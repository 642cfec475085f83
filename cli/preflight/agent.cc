#include "cli/preflight/agent.h"

#include <cstdio>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/exit_code.h"
#include "base/rpc/address.h"
#include "base/rpc/credentials.h"
#include "base/status_macros.h"
#include "cli/preflight/agent_service.h"
#include "cli/preflight/control_probe.h"
#include "cli/serve/stop_signals.h"

namespace deeprack::cli {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(200);
constexpr std::chrono::seconds kLastCalls{1};

absl::StatusOr<HostPort> ListenAddress(const AgentOptions& options) {
  if (!options.listen.empty()) return ParseHostPort(options.listen);
  if (options.towards.empty()) return HostPort{.host = "0.0.0.0", .port = 0};
  DR_ASSIGN_OR_RETURN(const HostPort coordinator, ParseHostPort(options.towards));
  if (absl::StrContains(coordinator.host, ':'))  // IPv6
    return HostPort{.host = IsLoopback(coordinator.host) ? "::1" : "::", .port = 0};
  return HostPort{.host = IsLoopback(coordinator.host) ? "127.0.0.1" : "0.0.0.0", .port = 0};
}

// Where other hosts reach a listener at `listen`.
absl::StatusOr<std::string> ReachedAt(const HostPort& listen, const std::string& towards) {
  if (!IsWildcard(listen.host) || towards.empty()) return listen.host;
  DR_ASSIGN_OR_RETURN(const HostPort coordinator, ParseHostPort(towards));
  return OwnAddressTowards(coordinator.host);
}

absl::Status Run(const AgentOptions& options) {
  StopSignals signals;
  DR_ASSIGN_OR_RETURN(const HostPort listen, ListenAddress(options));
  DR_RETURN_IF_ERROR(CheckProtected(listen, !options.cluster_tls.empty()));
  std::optional<ClusterTls> tls;
  if (!options.cluster_tls.empty()) {
    DR_ASSIGN_OR_RETURN(tls, LoadClusterTls(options.cluster_tls));
  }
  DR_ASSIGN_OR_RETURN(const auto data, DataListener::Start(listen.host));
  EchoService echo;
  AgentService service(data.get(), options.version, tls);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(ToString(listen), ServerCredentials(tls), &port);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.RegisterService(&echo);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0)
    return absl::UnavailableError(
        absl::StrCat("cannot listen at ", ToString(listen), ": is the port in use?"));
  DR_ASSIGN_OR_RETURN(const std::string host, ReachedAt(listen, options.towards));
  std::printf("{\"agent\": \"%s\"}\n", ToString({.host = host, .port = static_cast<uint16_t>(port)}).c_str());
  std::fflush(stdout);
  const absl::Duration most_idle =
      options.idle_seconds > 0 ? absl::Seconds(options.idle_seconds) : absl::InfiniteDuration();
  while (!signals.WaitFor(kTick) && service.idle() < most_idle) {
  }
  server->Shutdown(std::chrono::system_clock::now() + kLastCalls);
  return absl::OkStatus();
}

}  // namespace

int RunAgent(const AgentOptions& options) {
  const absl::Status status = Run(options);
  if (status.ok()) return 0;
  std::fprintf(stderr, "deeprack preflight-agent: %s\n", std::string(status.message()).c_str());
  return static_cast<int>(ExitCodeOf(status));
}

}  // namespace deeprack::cli
