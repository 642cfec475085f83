// Certificates that a handshake would refuse are refused before the handshake, with the reason.
#include "base/rpc/cluster_tls.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/time/clock.h"
#include "base/rpc/certificate_text.h"
#include "cli/certs/certs.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/cluster/certificates.h"

namespace deeprack {
namespace {

using testing::AllOf;
using testing::HasSubstr;

void Write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

void Copy(const std::string& from, const std::string& to) {
  std::filesystem::copy_file(from, to, std::filesystem::copy_options::overwrite_existing);
}

// Signs a new tls.crt and tls.key in `folder` with the folder's authority and these x509 extensions.
void Sign(const std::string& folder, const std::string& extensions, const std::string& dates = "-days 10") {
  Write(folder + "/extensions", extensions);
  const std::string command = "cd " + folder +
                              " && openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
                              "-keyout tls.key -subj /CN=x -out r.pem 2>/dev/null"
                              " && openssl x509 -req -in r.pem -CA ca.crt -CAkey ca.key -CAcreateserial "
                              "-extfile extensions -out tls.crt " +
                              dates + " 2>/dev/null";
  ASSERT_EQ(std::system(command.c_str()), 0);
}

std::string RefusalOf(const std::string& folder) {
  const auto tls = LoadClusterTls(folder);
  EXPECT_TRUE(absl::IsFailedPrecondition(tls.status())) << tls.status();
  return std::string(tls.status().message());
}

std::string Text(const std::string& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

int ModeOf(const std::string& path) {
  return static_cast<int>(std::filesystem::status(path).permissions()) & 0777;
}

TEST(ClusterTlsTest, WhatTheCommandMakesIsGoodAndIsNotOverwritten) {
  const std::string folder = MakeCertificates() + "/made", more = folder + "-more";
  const absl::Time now = absl::Now();
  ASSERT_TRUE(cli::MakeCerts(folder, {.hosts = {"node1", "10.0.0.1", "fd00::1"}}, now).ok());
  EXPECT_EQ(ModeOf(folder), 0700);
  EXPECT_EQ(ModeOf(folder + "/ca.key"), 0600);
  EXPECT_EQ(ModeOf(folder + "/tls.key"), 0600);
  const auto first = LoadClusterTls(folder);
  ASSERT_TRUE(first.ok()) << first.status();
  const CertificateFacts facts = FactsOf(*sk_X509_value(ParseCertificates(first->certificate)->get(), 0));
  EXPECT_EQ(facts.subject, "deeprack");
  EXPECT_THAT(facts.names, testing::ElementsAre("deeprack", "node1", "10.0.0.1", "fd00::1"));
  EXPECT_EQ(absl::ToUnixSeconds(facts.ends), absl::ToUnixSeconds(now + absl::Hours(24 * 365)));

  const std::string key = Text(folder + "/tls.key");
  const absl::Status again = cli::MakeCerts(folder, {}, now);
  EXPECT_TRUE(absl::IsFailedPrecondition(again));
  EXPECT_THAT(std::string(again.message()), AllOf(HasSubstr(folder + "/ca.key"), HasSubstr("exists")));
  EXPECT_EQ(Text(folder + "/tls.key"), key);

  ASSERT_TRUE(cli::AddCert(folder, more, {.days = 30}, now).ok());
  const auto second = LoadClusterTls(more);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(first->authority, second->authority);
  EXPECT_NE(first->certificate, second->certificate);
  EXPECT_EQ(ModeOf(more + "/tls.key"), 0600);
  EXPECT_FALSE(std::filesystem::exists(more + "/ca.key"));
}

TEST(ClusterTlsTest, TheCommandLeavesNothingWhereItFails) {
  const std::string folder = MakeCertificates();
  // The last file that is written exists: the ones before go again.
  std::filesystem::create_directories(folder + "/part");
  Write(folder + "/part/tls.crt", "mine");
  EXPECT_TRUE(absl::IsFailedPrecondition(cli::AddCert(folder, folder + "/part", {.days = 1}, absl::Now())));
  EXPECT_EQ(Text(folder + "/part/tls.crt"), "mine");
  EXPECT_FALSE(std::filesystem::exists(folder + "/part/tls.key"));
  EXPECT_TRUE(absl::IsInvalidArgument(cli::MakeCerts(folder + "/x", {.hosts = {"a b"}}, absl::Now())));
  EXPECT_TRUE(absl::IsInvalidArgument(cli::MakeCerts(folder + "/x", {.hosts = {"a,DNS:b"}}, absl::Now())));
  EXPECT_FALSE(std::filesystem::exists(folder + "/x"));
  // The authority of the tests ends in a month.
  const absl::Status late = cli::AddCert(folder, folder + "/y", {.days = 60}, absl::Now());
  EXPECT_TRUE(absl::IsFailedPrecondition(late));
  EXPECT_THAT(std::string(late.message()), AllOf(HasSubstr("--days"), HasSubstr("at most 30 days")));
  Copy(MakeCertificates() + "/ca.key", folder + "/ca.key");
  const absl::Status other = cli::AddCert(folder, folder + "/y", {.days = 1}, absl::Now());
  EXPECT_THAT(std::string(other.message()), HasSubstr("is not the authority of this key"));
  EXPECT_FALSE(std::filesystem::exists(folder + "/y"));
}

TEST(ClusterTlsTest, ShowSaysWhoAndUntilWhenAndFailsWhenExpired) {
  const std::string folder = MakeCertificates();
  testing::internal::CaptureStdout();
  EXPECT_TRUE(cli::ShowCerts(folder, absl::Now()).ok());
  const std::string shown = testing::internal::GetCapturedStdout();
  EXPECT_THAT(shown, AllOf(HasSubstr("deeprack cluster authority"), HasSubstr("30 days left"),
                           HasSubstr("ca.key   is here"), HasSubstr("names    deeprack\n")));
  const cli::Issued authority = {Text(folder + "/ca.crt"), Text(folder + "/ca.key")};
  const ClusterTls old = MemberOf(authority, {.begins = -absl::Hours(48), .ends = -absl::Hours(24)});
  Write(folder + "/tls.crt", old.certificate);
  Write(folder + "/tls.key", old.key);
  testing::internal::CaptureStdout();
  const absl::Status expired = cli::ShowCerts(folder, absl::Now());
  EXPECT_THAT(testing::internal::GetCapturedStdout(), HasSubstr("(has expired)"));
  EXPECT_TRUE(absl::IsFailedPrecondition(expired));
  EXPECT_THAT(std::string(expired.message()),
              AllOf(HasSubstr(folder + "/tls.crt: the certificate has expired, at "),
                    HasSubstr("; `deeprack certs add FOLDER_WITH_CA_KEY NEW_FOLDER` makes another")));
}

TEST(ClusterTlsTest, AMissingFileIsNamed) {
  const std::string folder = MakeCertificates();
  std::filesystem::remove(folder + "/tls.key");
  EXPECT_THAT(RefusalOf(folder), AllOf(HasSubstr(folder + "/tls.key"), HasSubstr("cannot be read"),
                                       HasSubstr("`deeprack certs make`")));
}

TEST(ClusterTlsTest, FilesThatAreNoPemAreNamed) {
  for (const char* name : {"ca.crt", "tls.crt", "tls.key"}) {
    for (const std::string& text :
         {std::string(), std::string("hello\n"), std::string(3 << 20, 'x'),
          std::string("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")}) {
      const std::string folder = MakeCertificates();
      Write(folder + "/" + name, text);
      EXPECT_THAT(RefusalOf(folder), HasSubstr(folder + "/" + name));
    }
  }
}

TEST(ClusterTlsTest, AStrangersNameCannotBreakALineOfTheLog) {
  const CertificateFacts facts{.subject = "a\n[error] b", .names = {"deeprack", "\x1b[2J"}};
  EXPECT_EQ(Describe(facts), R"("a\n[error] b" (names "deeprack, \033[2J"))");
}

TEST(ClusterTlsTest, AKeyOfAnotherCertificateIsRefused) {
  const std::string folder = MakeCertificates();
  Copy(MakeCertificates() + "/tls.key", folder + "/tls.key");
  EXPECT_THAT(RefusalOf(folder), HasSubstr("is not the key of tls.crt"));
}

TEST(ClusterTlsTest, ACertificateOfAnotherAuthorityIsRefused) {
  const std::string folder = MakeCertificates();
  Copy(MakeCertificates() + "/ca.crt", folder + "/ca.crt");
  EXPECT_THAT(RefusalOf(folder), AllOf(HasSubstr("tls.crt"), HasSubstr("not the one in ca.crt")));
}

TEST(ClusterTlsTest, AnotherNameAServerOnlyCertificateAndAnExpiredOneAreRefused) {
  const std::string folder = MakeCertificates();
  Sign(folder, "subjectAltName=DNS:other\nextendedKeyUsage=serverAuth,clientAuth\n");
  EXPECT_THAT(RefusalOf(folder), HasSubstr("is not for the name 'deeprack'"));
  Sign(folder, "subjectAltName=DNS:deeprack\nextendedKeyUsage=serverAuth\n");
  EXPECT_THAT(RefusalOf(folder), HasSubstr("is not for a client ("));
  Sign(folder, "subjectAltName=DNS:deeprack\nextendedKeyUsage=serverAuth,clientAuth\n", "-days -1");
  EXPECT_THAT(RefusalOf(folder), HasSubstr("expired"));
  Sign(folder, "subjectAltName=DNS:deeprack\nextendedKeyUsage=serverAuth,clientAuth\n");
  EXPECT_TRUE(LoadClusterTls(folder).ok());
}

}  // namespace
}  // namespace deeprack
