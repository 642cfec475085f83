#include "base/rpc/address.h"

#include "base/rpc/connect_reason.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace deeprack {
namespace {

TEST(AddressTest, WhatPeopleWriteIsReadAndWrittenBack) {
  for (const char* text : {"node1:7000", "10.0.0.2:0", "[fd00::2]:65535", "node-1.rack_2.example:1"}) {
    const auto address = ParseHostPort(text);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(ToString(*address), text);
  }
  EXPECT_EQ(ParseHostPort("[fd00::2]:7")->host, "fd00::2");
}

TEST(AddressTest, AnythingElseIsRefusedWithAnExample) {
  for (const std::string text : {"node1: 7000",
                                 "node1:\t000",
                                 "node1:+7",
                                 "a\nb:7000",
                                 "",
                                 ":",
                                 ":7000",
                                 "node1",
                                 "node1:",
                                 "node1:port",
                                 "node1:65536",
                                 "node1:-1",
                                 "fd00::2:7000",
                                 "[fd00::2:7000",
                                 "fd00::2]:7000",
                                 "[node1]:7000",
                                 "[]:1",
                                 "a b:1",
                                 "a/b:1",
                                 "a\n:1"}) {
    const auto address = ParseHostPort(text);
    EXPECT_TRUE(absl::IsInvalidArgument(address.status())) << text;
    EXPECT_THAT(std::string(address.status().message()), testing::HasSubstr("10.0.0.2:7000")) << text;
  }
  EXPECT_LT(ParseHostPort(std::string(100000, 'a') + ":1").status().message().size(), 500u);
}

TEST(AddressTest, LoopbackIsWhatOnlyThisMachineReaches) {
  for (const char* host : {"127.0.0.1", "127.8.9.10", "::1", "localhost", "LocalHost"})
    EXPECT_TRUE(IsLoopback(host)) << host;
  for (const char* host :
       {"127.example.org", "127.0.0", "10.0.0.1", "0.0.0.0", "::", "localhost.example.org", "node1", ""}) {
    EXPECT_FALSE(IsLoopback(host)) << host;
  }
}

TEST(AddressTest, BeyondLoopbackNeedsCertificates) {
  for (const char* host : {"0.0.0.0", "::", "10.0.0.1", "node1", "127.example.org"}) {
    EXPECT_TRUE(absl::IsFailedPrecondition(CheckProtected({host, 7000}, /*has_tls=*/false))) << host;
    EXPECT_TRUE(CheckProtected({host, 7000}, /*has_tls=*/true).ok()) << host;
  }
  EXPECT_TRUE(CheckProtected({"127.0.0.1", 7000}, /*has_tls=*/false).ok());
}

TEST(ConnectReasonTest, TellsCausesInWordsOfItsOwn) {
  const auto reason = [](const std::string& text) { return ConnectReason("node7:7000", text); };
  EXPECT_EQ(reason("DNS resolution failed for node7:7000: C-ares status is not ARES_SUCCESS qtype=A"),
            "this machine cannot look up the name node7");
  EXPECT_EQ(reason("failed to connect to all addresses; last error: UNKNOWN: ipv4:10.0.0.7:7000: Failed to "
                   "connect to remote host: Connection refused"),
            "connection refused: nothing listens there, or a firewall rejects it");
  EXPECT_THAT(reason("Ssl handshake failed: SSL_ERROR_SSL: certificate verify failed"),
              ::testing::HasSubstr("it has expired, or it is of another authority"));
  EXPECT_THAT(reason("last error: UNAVAILABLE: Socket closed"),
              ::testing::HasSubstr("one end goes without certificates"));
  EXPECT_EQ(reason("words of tomorrow"), "words of tomorrow");
  EXPECT_EQ(LossReason("Cancelling all calls"), "it was stopped");
  EXPECT_THAT(LossReason("Socket closed"), ::testing::HasSubstr("its process ended"));
}

TEST(AddressTest, HostOfAPeerAsGrpcNamesIt) {
  EXPECT_EQ(HostOfPeer("ipv4:10.0.0.2:4711").value(), "10.0.0.2");
  EXPECT_EQ(HostOfPeer("ipv6:[fd00::2]:4711").value(), "fd00::2");
  EXPECT_EQ(HostOfPeer("ipv6:%5Bfd00::2%5D:4711").value(), "fd00::2");
  EXPECT_FALSE(HostOfPeer("unix:/tmp/socket").ok());
}

}  // namespace
}  // namespace deeprack
