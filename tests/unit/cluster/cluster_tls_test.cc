// Certificates that a handshake would refuse are refused before the handshake, with the reason.
#include "base/rpc/cluster_tls.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/source_tree.h"
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

TEST(ClusterTlsTest, WhatTheScriptMakesIsGoodAndCanBeRenewed) {
  const std::string folder = MakeCertificates();
  const auto first = LoadClusterTls(folder);
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_EQ(
      std::system((InSourceTree("deploy/tls/make-certificates ") + folder + " 30 >/dev/null").c_str()),
      0);
  const auto second = LoadClusterTls(folder);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(first->authority, second->authority);
  EXPECT_NE(first->certificate, second->certificate);
}

TEST(ClusterTlsTest, AMissingFileIsNamed) {
  const std::string folder = MakeCertificates();
  std::filesystem::remove(folder + "/tls.key");
  EXPECT_THAT(RefusalOf(folder), AllOf(HasSubstr(folder + "/tls.key"), HasSubstr("cannot be read"),
                                       HasSubstr("make-certificates")));
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

TEST(ClusterTlsTest, AKeyOfAnotherCertificateIsRefused) {
  const std::string folder = MakeCertificates();
  Copy(MakeCertificates() + "/tls.key", folder + "/tls.key");
  EXPECT_THAT(RefusalOf(folder), HasSubstr("is not the key of tls.crt"));
}

TEST(ClusterTlsTest, ACertificateOfAnotherAuthorityIsRefused) {
  const std::string folder = MakeCertificates();
  Copy(MakeCertificates() + "/ca.crt", folder + "/ca.crt");
  EXPECT_THAT(RefusalOf(folder), AllOf(HasSubstr("tls.crt"), HasSubstr("under ca.crt")));
}

TEST(ClusterTlsTest, AnotherNameAServerOnlyCertificateAndAnExpiredOneAreRefused) {
  const std::string folder = MakeCertificates();
  Sign(folder, "subjectAltName=DNS:other\nextendedKeyUsage=serverAuth,clientAuth\n");
  EXPECT_THAT(RefusalOf(folder), HasSubstr("is not for the name 'deeprack'"));
  Sign(folder, "subjectAltName=DNS:deeprack\nextendedKeyUsage=serverAuth\n");
  EXPECT_THAT(RefusalOf(folder), HasSubstr("as a client's"));
  Sign(folder, "subjectAltName=DNS:deeprack\nextendedKeyUsage=serverAuth,clientAuth\n", "-days -1");
  EXPECT_THAT(RefusalOf(folder), HasSubstr("expired"));
  Sign(folder, "subjectAltName=DNS:deeprack\nextendedKeyUsage=serverAuth,clientAuth\n");
  EXPECT_TRUE(LoadClusterTls(folder).ok());
}

}  // namespace
}  // namespace deeprack
