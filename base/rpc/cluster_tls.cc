#include "base/rpc/cluster_tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <fstream>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace deeprack {
namespace {

constexpr int64_t kLargestFileBytes = 1 << 20;
constexpr char kRemedy[] = "; deploy/tls/make-certificates makes a valid set";

template <auto kFree>
struct Freeing {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};
void FreeCertificates(STACK_OF(X509) * certificates) { sk_X509_pop_free(certificates, X509_free); }

using Bio = std::unique_ptr<BIO, Freeing<BIO_free>>;
using Certificate = std::unique_ptr<X509, Freeing<X509_free>>;
using Certificates = std::unique_ptr<STACK_OF(X509), Freeing<FreeCertificates>>;
using Key = std::unique_ptr<EVP_PKEY, Freeing<EVP_PKEY_free>>;
using Store = std::unique_ptr<X509_STORE, Freeing<X509_STORE_free>>;
using StoreContext = std::unique_ptr<X509_STORE_CTX, Freeing<X509_STORE_CTX_free>>;

absl::Status Wrong(const std::string& path, const std::string& what) {
  return absl::FailedPreconditionError(absl::StrCat(path, ": ", what, kRemedy));
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kLargestFileBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || !file.is_open()) return Wrong(path, "cannot be read");
  if (file.gcount() > kLargestFileBytes) return Wrong(path, "is too large for a PEM file");
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

Bio Reader(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// All certificates of a PEM text, in its order; at least one.
absl::StatusOr<Certificates> ParseCertificates(const std::string& path, const std::string& text) {
  Certificates certificates(sk_X509_new_null());
  const Bio bio = Reader(text);
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    sk_X509_push(certificates.get(), certificate);
  }
  const bool clean_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (!clean_end) return Wrong(path, "holds a damaged PEM certificate");
  if (sk_X509_num(certificates.get()) == 0) return Wrong(path, "holds no PEM certificate");
  return certificates;
}

absl::StatusOr<Key> ParseKey(const std::string& path, const std::string& text) {
  const auto no_password = [](char*, int, int, void*) { return 0; };
  Key key(PEM_read_bio_PrivateKey(Reader(text).get(), nullptr, no_password, nullptr));
  ERR_clear_error();
  if (key == nullptr) return Wrong(path, "holds no PEM private key that can be read without a password");
  return key;
}

// Checks the first certificate of `chain` against `authority` in this role. Returns "" or OpenSSL's reason.
std::string RefusalAs(int purpose, STACK_OF(X509) * authority, STACK_OF(X509) * chain) {
  const Store store(X509_STORE_new());
  for (int i = 0; i < sk_X509_num(authority); ++i)
    X509_STORE_add_cert(store.get(), sk_X509_value(authority, i));
  const StoreContext context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store.get(), sk_X509_value(chain, 0), chain);
  X509_STORE_CTX_set_purpose(context.get(), purpose);
  const bool good = X509_verify_cert(context.get()) == 1;
  ERR_clear_error();
  return good ? "" : X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get()));
}

absl::Status Check(const std::string& folder, const ClusterTls& tls) {
  const std::string ca_path = folder + "/ca.crt", path = folder + "/tls.crt", key_path = folder + "/tls.key";
  DR_ASSIGN_OR_RETURN(const Certificates authority, ParseCertificates(ca_path, tls.authority));
  DR_ASSIGN_OR_RETURN(const Certificates chain, ParseCertificates(path, tls.certificate));
  DR_ASSIGN_OR_RETURN(const Key key, ParseKey(key_path, tls.key));
  X509* const own = sk_X509_value(chain.get(), 0);
  if (X509_check_private_key(own, key.get()) != 1) {
    ERR_clear_error();
    return Wrong(key_path, "is not the key of tls.crt");
  }
  for (const auto& [purpose, role] :
       {std::pair{X509_PURPOSE_SSL_SERVER, "server"}, {X509_PURPOSE_SSL_CLIENT, "client"}}) {
    const std::string refusal = RefusalAs(purpose, authority.get(), chain.get());
    if (!refusal.empty()) return Wrong(path, absl::StrCat("as a ", role, "'s, under ca.crt: ", refusal));
  }
  if (X509_check_host(own, kClusterName, 0, 0, nullptr) != 1) {
    return Wrong(path,
                 absl::StrCat("is not for the name '", kClusterName, "' (a DNS subject alternative name)"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ClusterTls> LoadClusterTls(const std::string& folder) {
  ClusterTls tls;
  DR_ASSIGN_OR_RETURN(tls.authority, ReadFile(folder + "/ca.crt"));
  DR_ASSIGN_OR_RETURN(tls.certificate, ReadFile(folder + "/tls.crt"));
  DR_ASSIGN_OR_RETURN(tls.key, ReadFile(folder + "/tls.key"));
  DR_RETURN_IF_ERROR(Check(folder, tls));
  return tls;
}

}  // namespace deeprack
