#include "base/rpc/cluster_tls.h"

#include <openssl/err.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/rpc/certificate_text.h"
#include "base/status_macros.h"

namespace deeprack {
namespace {

constexpr int64_t kLargestFileBytes = 1 << 20;

absl::Status Wrong(const std::string& path, absl::string_view what) {
  return absl::FailedPreconditionError(absl::StrCat(
      path, ": ", what,
      "; `deeprack certs add FOLDER_WITH_CA_KEY NEW_FOLDER` makes another certificate of the same "
      "authority: copy its ca.crt, tls.crt and tls.key to this machine and restart"));
}

bool IsMissing(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::status(path, ignored).type() == std::filesystem::file_type::not_found;
}

int PurposeOf(PeerRole role) {
  return role == PeerRole::kServer ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT;
}

// Checks the first certificate of `chain` against `authority` in this role. Returns OpenSSL's error;
// X509_V_OK when there is none.
int ChainError(PeerRole role, STACK_OF(X509) * authority, STACK_OF(X509) * chain) {
  const openssl::Store store(X509_STORE_new());
  for (int i = 0; i < sk_X509_num(authority); ++i)
    X509_STORE_add_cert(store.get(), sk_X509_value(authority, i));
  const openssl::StoreContext context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store.get(), sk_X509_value(chain, 0), chain);
  X509_STORE_CTX_set_purpose(context.get(), PurposeOf(role));
  const bool good = X509_verify_cert(context.get()) == 1;
  const int error = X509_STORE_CTX_get_error(context.get());
  ERR_clear_error();
  if (good) return X509_V_OK;
  return error != X509_V_OK ? error : X509_V_ERR_UNSPECIFIED;
}

bool IsForCluster(X509* certificate) {
  return X509_check_host(certificate, kClusterName, 0, 0, nullptr) == 1;
}

// Why a certificate with these facts fails with OpenSSL's `error`.
std::string ReasonOf(int error, const CertificateFacts& facts) {
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return absl::StrCat("the certificate has expired, at ", TimeText(facts.ends));
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return absl::StrCat("the certificate is not valid before ", TimeText(facts.begins),
                          " (are both clocks right?)");
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return absl::StrCat("another authority signed the certificate, not the one in ca.crt (",
                          X509_verify_cert_error_string(error), ")");
    default:
      return X509_verify_cert_error_string(error);
  }
}

template <class T>
absl::StatusOr<T> OfFile(const std::string& path, absl::StatusOr<T> parsed) {
  if (!parsed.ok()) return Wrong(path, parsed.status().message());
  return parsed;
}

}  // namespace

absl::StatusOr<std::string> ReadPemFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kLargestFileBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || !file.is_open()) {
    const std::filesystem::path folder = std::filesystem::path(path).parent_path();
    if (!folder.empty() && IsMissing(folder))
      return absl::FailedPreconditionError(absl::StrCat(folder.string(), ": no such folder"));
    return absl::FailedPreconditionError(absl::StrCat(
        path,
        ": cannot be read; copy ca.crt, tls.crt and tls.key from the folder of `deeprack certs make` or "
        "`deeprack certs add`, and let the user of this process read them"));
  }
  if (file.gcount() > kLargestFileBytes) return Wrong(path, "is too large for a PEM file");
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

absl::Status CheckClusterTls(const ClusterTls& tls, const std::string& folder) {
  const std::string ca_path = folder + "/ca.crt", path = folder + "/tls.crt", key_path = folder + "/tls.key";
  DR_ASSIGN_OR_RETURN(const openssl::Certificates authority,
                      OfFile(ca_path, ParseCertificates(tls.authority)));
  DR_ASSIGN_OR_RETURN(const openssl::Certificates chain, OfFile(path, ParseCertificates(tls.certificate)));
  DR_ASSIGN_OR_RETURN(const openssl::Key key, OfFile(key_path, ParseKey(tls.key)));
  X509* const own = sk_X509_value(chain.get(), 0);
  if (X509_check_private_key(own, key.get()) != 1) {
    ERR_clear_error();
    return Wrong(key_path, "is not the key of tls.crt");
  }
  for (const auto& [role, name] : {std::pair{PeerRole::kServer, "server"}, {PeerRole::kClient, "client"}}) {
    if (const int error = ChainError(role, authority.get(), chain.get()); error != X509_V_OK) {
      const std::string reason = ReasonOf(error, FactsOf(*own));
      return Wrong(path, error == X509_V_ERR_INVALID_PURPOSE
                             ? absl::StrCat("the certificate is not for a ", name, " (", reason,
                                            "); members of the cluster are servers and clients")
                             : reason);
    }
  }
  if (!IsForCluster(own)) {
    return Wrong(path,
                 absl::StrCat("is not for the name '", kClusterName, "' (a DNS subject alternative name)"));
  }
  return absl::OkStatus();
}

absl::StatusOr<ClusterTls> LoadClusterTls(const std::string& folder) {
  ClusterTls tls;
  DR_ASSIGN_OR_RETURN(tls.authority, ReadPemFile(folder + "/ca.crt"));
  DR_ASSIGN_OR_RETURN(tls.certificate, ReadPemFile(folder + "/tls.crt"));
  DR_ASSIGN_OR_RETURN(tls.key, ReadPemFile(folder + "/tls.key"));
  DR_RETURN_IF_ERROR(CheckClusterTls(tls, folder));
  return tls;
}

std::string RefusalOfPeer(const std::string& authority, const std::string& chain, PeerRole role) {
  const auto trusted = ParseCertificates(authority);
  if (!trusted.ok()) return absl::StrCat("ca.crt ", trusted.status().message());
  const auto presented = ParseCertificates(chain);
  if (!presented.ok()) return absl::StrCat("what the peer presents ", presented.status().message());
  X509* const own = sk_X509_value(presented->get(), 0);
  const CertificateFacts facts = FactsOf(*own);
  const int error = ChainError(role, trusted->get(), presented->get());
  if (error != X509_V_OK)
    return absl::StrCat("the certificate of ", Describe(facts), ": ", ReasonOf(error, facts));
  if (!IsForCluster(own)) {
    return absl::StrCat("the certificate of ", Describe(facts), ": it is not for the name '", kClusterName,
                        "'");
  }
  return "";
}

}  // namespace deeprack
