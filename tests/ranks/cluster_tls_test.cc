// The cluster's ports under mutual TLS: only members of the cluster's authority can connect.
#include <thread>

#include "base/rpc/credentials.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/ranks/fake_cluster.h"
#include "tests/unit/cluster/certificates.h"

namespace deeprack {
namespace {

using testing::HasSubstr;

constexpr absl::Duration kShort = absl::Seconds(1);  // a refused handshake is tried again for this long

ClusterTls NewAuthority() { return LoadClusterTls(MakeCertificates()).value(); }

coordinator::HealthLimits Patient() { return {.heartbeat_timeout = kPatience}; }

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
  const auto result = cluster.executor().Execute(FakeCluster::Plan(1));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->sequences.size(), 2u);
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
