// The cluster's ports under mutual TLS: only members of the cluster can connect, and the log says who was
// refused and why.
#include <algorithm>
#include <memory>
#include <mutex>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "base/rpc/credentials.h"
#include "base/rpc/rpc_log.h"
#include "gmock/gmock.h"
#include "grpcpp/generic/async_generic_service.h"
#include "gtest/gtest.h"
#include "spdlog/sinks/base_sink.h"
#include "spdlog/spdlog.h"
#include "tests/ranks/fake_cluster.h"
#include "tests/unit/cluster/certificates.h"

namespace deeprack {
namespace {

using testing::HasSubstr;

constexpr absl::Duration kShort = absl::Seconds(1);  // a refused handshake is tried again for this long

ClusterTls NewAuthority() { return LoadClusterTls(MakeCertificates()).value(); }

coordinator::HealthLimits Patient() { return {.heartbeat_timeout = kPatience}; }

// The lines of the log, from construction to the end.
class LogLines {
 public:
  LogLines() : before_(spdlog::default_logger()) {
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", sink_));
    TakeGrpcLog();
  }
  ~LogLines() { spdlog::set_default_logger(before_); }

  // Waits until a line has each of these texts. False: none has, after kPatience.
  bool Says(const std::vector<std::string>& texts) {
    const absl::Time deadline = absl::Now() + kPatience;
    while (absl::Now() < deadline) {
      for (const std::string& line : sink_->lines()) {
        if (std::all_of(texts.begin(), texts.end(),
                        [&](const std::string& text) { return absl::StrContains(line, text); }))
          return true;
      }
      absl::SleepFor(absl::Milliseconds(2));
    }
    return false;
  }

 private:
  class Sink final : public spdlog::sinks::base_sink<std::mutex> {
   public:
    std::vector<std::string> lines() {
      const std::lock_guard lock(mutex_);
      return lines_;
    }

   private:
    void sink_it_(const spdlog::details::log_msg& message) override {
      lines_.emplace_back(message.payload.data(), message.payload.size());
    }
    void flush_() override {}
    std::vector<std::string> lines_;
  };

  const std::shared_ptr<spdlog::logger> before_;
  const std::shared_ptr<Sink> sink_ = std::make_shared<Sink>();
};

// Certificates that are none of a member of `authority`'s cluster, and what the log says of each.
struct Stranger {
  ClusterTls tls;
  std::vector<std::string> says;
};
std::vector<Stranger> Strangers(const cli::Issued& authority) {
  ClusterTls other = MemberOf(MakeAuthority(), {.names = {kClusterName, "stranger"}});
  other.authority = authority.certificate;  // so that the stranger itself accepts the cluster
  return {{other, {"stranger", "another authority signed"}},
          {MemberOf(authority,
                    {.names = {kClusterName, "old"}, .begins = -absl::Hours(48), .ends = -absl::Hours(24)}),
           {"old", "has expired"}},
          {MemberOf(authority, {.names = {"web"}}), {"web", "is not for the name 'deeprack'"}}};
}

// A client of `address` that is refused, for the reason that the log says.
void ExpectRefused(const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
                   grpc::ChannelArguments arguments, const std::vector<std::string>& says) {
  LogLines log;
  const auto channel = grpc::CreateCustomChannel(address, credentials, arguments);
  channel->GetState(/*try_to_connect=*/true);
  EXPECT_TRUE(log.Says(says)) << says.back();
  EXPECT_NE(channel->GetState(false), GRPC_CHANNEL_READY) << says.back();
}

void ExpectOnlyMembers(const std::string& address, const cli::Issued& authority) {
  for (const Stranger& stranger : Strangers(authority)) {
    grpc::ChannelArguments arguments;
    const auto credentials = ChannelCredentials(stranger.tls, arguments);
    std::vector<std::string> says = stranger.says;
    says.push_back("refused a client of the cluster's ports");
    ExpectRefused(address, credentials, arguments, says);
  }
  grpc::ChannelArguments arguments;
  arguments.SetSslTargetNameOverride(kClusterName);
  ExpectRefused(address, grpc::SslCredentials({.pem_root_certs = authority.certificate}), arguments,
                {"refused a client of the cluster's ports", "it has no certificate"});
  ExpectRefused(address, grpc::InsecureChannelCredentials(), {},
                {"refused a peer of the cluster's ports", "does not speak TLS"});
}

bool CanConnect(const std::string& address, const std::optional<ClusterTls>& tls) {
  grpc::ChannelArguments arguments;
  const auto credentials = ChannelCredentials(tls, arguments);
  const auto channel = grpc::CreateCustomChannel(address, credentials, arguments);
  return channel->WaitForConnected(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(kShort));
}

TEST(ClusterTlsRanksTest, MembersJoinLoadAndStep) {
  FakeCluster cluster(2, Patient(), NewAuthority());
  worker::WorkerNodeOptions on_every_interface = cluster.WorkerOptions(0);
  on_every_interface.listen = "0.0.0.0:0";
  ASSERT_TRUE(cluster.StartWorker(on_every_interface).ok());
  ASSERT_TRUE(cluster.StartWorker(1).ok());
  cluster.Connect();
  const auto members = cluster.membership().WaitForWorld(kPatience);
  ASSERT_TRUE(members.ok()) << members.status();
  // The host of the worker's connection.
  EXPECT_THAT(members->members[0].node.address, testing::StartsWith("127.0.0.1:"));
  ASSERT_TRUE(cluster.Load().ok());
  const auto result = cluster.Execute(FakeCluster::Plan(1));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->groups[0].size(), 2u);
  // A worker's own port accepts only members too.
  EXPECT_FALSE(CanConnect(members->members[0].node.address, NewAuthority()));
}

TEST(ClusterTlsRanksTest, AWorkerOfAnotherAuthorityOrWithoutCertificatesIsKeptOut) {
  FakeCluster cluster(1, Patient(), NewAuthority());
  for (const std::optional<ClusterTls>& tls : {std::optional(NewAuthority()), std::optional<ClusterTls>()}) {
    worker::WorkerNodeOptions options = cluster.WorkerOptions(0);
    options.tls = tls;
    options.connect_timeout = kShort;
    const absl::Status refused = cluster.StartWorker(options);
    if (refused.ok()) {  // without TLS the connection opens, and breaks at the first message
      EXPECT_TRUE(absl::IsUnavailable(cluster.node(0).WaitUntilEnd()));
    } else {
      EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
      EXPECT_THAT(std::string(refused.message()), HasSubstr("--cluster-tls"));
    }
    EXPECT_EQ(cluster.membership().joined(), 0);
  }
  ASSERT_TRUE(cluster.StartWorker(0).ok());
  cluster.Connect();
}

TEST(ClusterTlsRanksTest, AWorkerDoesNotTellACoordinatorOfAnotherAuthorityAnything) {
  FakeCluster cluster(1);  // a cluster without TLS
  worker::WorkerNodeOptions options = cluster.WorkerOptions(0);
  options.tls = NewAuthority();
  options.connect_timeout = kShort;
  EXPECT_TRUE(absl::IsUnavailable(cluster.StartWorker(options)));
  EXPECT_EQ(cluster.membership().joined(), 0);
}

TEST(ClusterTlsRanksTest, BothPortsRefuseStrangersAndTheLogSaysWhy) {
  const cli::Issued authority = MakeAuthority();
  FakeCluster cluster(1, Patient(), MemberOf(authority));
  ExpectOnlyMembers(cluster.WorkerOptions(0).coordinator, authority);
  EXPECT_EQ(cluster.membership().joined(), 0);
  ASSERT_TRUE(cluster.StartWorker(0).ok());
  cluster.Connect();
  const auto members = cluster.membership().WaitForWorld(kPatience);
  ASSERT_TRUE(members.ok()) << members.status();
  ExpectOnlyMembers(members->members[0].node.address, authority);
  ASSERT_TRUE(cluster.Load().ok());  // the refusals have harmed nothing
}

// A worker that attaches to a coordinator, and a coordinator that calls a worker, use the same credentials.
TEST(ClusterTlsRanksTest, MembersRefuseServersThatAreStrangersAndTheLogSaysWhy) {
  const cli::Issued authority = MakeAuthority();
  for (const Stranger& stranger : Strangers(authority)) {
    grpc::CallbackGenericService service;
    grpc::ServerBuilder builder;
    builder.RegisterCallbackGenericService(&service);
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", ServerCredentials(stranger.tls), &port);
    const auto server = builder.BuildAndStart();
    ASSERT_NE(server, nullptr);
    grpc::ChannelArguments arguments;
    const auto credentials = ChannelCredentials(MemberOf(authority), arguments);
    std::vector<std::string> says = stranger.says;
    says.push_back("refused a server of the cluster's ports");
    ExpectRefused("127.0.0.1:" + std::to_string(port), credentials, arguments, says);
    server->Shutdown(std::chrono::system_clock::now());
  }
}

TEST(ClusterTlsRanksTest, BeyondLoopbackNothingStartsWithoutCertificates) {
  SystemClock clock;
  const auto membership = coordinator::Membership::Start({.listen = "0.0.0.0:0"}, &clock);
  EXPECT_TRUE(absl::IsFailedPrecondition(membership.status())) << membership.status();
  EXPECT_THAT(std::string(membership.status().message()), HasSubstr("--cluster-tls"));
  FakeCluster cluster(1);
  worker::WorkerNodeOptions open = cluster.WorkerOptions(0);
  open.listen = "0.0.0.0:0";
  EXPECT_TRUE(absl::IsFailedPrecondition(cluster.StartWorker(open)));
  worker::WorkerNodeOptions elsewhere = cluster.WorkerOptions(0);
  elsewhere.coordinator = "10.0.0.1:7000";
  EXPECT_TRUE(absl::IsFailedPrecondition(cluster.StartWorker(elsewhere)));
  worker::WorkerNodeOptions nonsense = cluster.WorkerOptions(0);
  nonsense.coordinator = "coordinator";
  EXPECT_TRUE(absl::IsInvalidArgument(cluster.StartWorker(nonsense)));
}

}  // namespace
}  // namespace deeprack
