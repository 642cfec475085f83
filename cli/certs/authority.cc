#include "cli/certs/authority.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/rpc/certificate_text.h"
#include "base/status_macros.h"

namespace deeprack::cli {
namespace {

constexpr char kAuthorityName[] = "deeprack cluster authority";
constexpr size_t kLongestName = 253;       // characters; RFC 1035
constexpr size_t kLongestCommonName = 64;  // characters; RFC 5280

// OpenSSL's last error.
absl::Status Failed(const char* what) {
  char text[256] = "";
  ERR_error_string_n(ERR_get_error(), text, sizeof(text));
  ERR_clear_error();
  return absl::InternalError(absl::StrCat(what, ": ", text));
}

std::string TextOf(const openssl::Bio& bio) {
  const char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);  // NOLINT(google-runtime-int): OpenSSL's type
  return std::string(data, static_cast<size_t>(size));
}

bool IsAddress(const std::string& name) {
  std::array<unsigned char, 16> address{};
  return inet_pton(AF_INET, name.c_str(), address.data()) == 1 ||
         inet_pton(AF_INET6, name.c_str(), address.data()) == 1;
}

// Random bits that make a positive number of 16 bytes.
bool SetSerial(X509* certificate) {
  std::array<unsigned char, 16> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) return false;
  bytes[0] = static_cast<unsigned char>((bytes[0] & 0x7f) | 0x40);
  BIGNUM* number = BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr);
  const bool set = BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nullptr;
  BN_free(number);
  return set;
}

bool SetName(X509_NAME* name, const std::string& common_name) {
  return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                                    0) == 1;
}

bool SetTimes(X509* certificate, absl::Time begins, absl::Time ends) {
  return ASN1_TIME_set(X509_getm_notBefore(certificate), absl::ToTimeT(begins)) != nullptr &&
         ASN1_TIME_set(X509_getm_notAfter(certificate), absl::ToTimeT(ends)) != nullptr;
}

// Adds an extension in the syntax of OpenSSL's configuration files.
bool AddExtension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const openssl::Extension extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  return extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1;
}

absl::StatusOr<Issued> Texts(const openssl::Certificate& certificate, const openssl::Key& key) {
  const openssl::Bio certificate_text(BIO_new(BIO_s_mem())), key_text(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(certificate_text.get(), certificate.get()) != 1 ||
      PEM_write_bio_PKCS8PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return Failed("a certificate cannot be written as text");
  }
  return Issued{.certificate = TextOf(certificate_text), .key = TextOf(key_text)};
}

std::string AlternativeNames(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    absl::StrAppend(&text, text.empty() ? "" : ",", IsAddress(name) ? "IP:" : "DNS:", name);
  }
  return text;
}

}  // namespace

bool IsHostName(absl::string_view text) {
  if (IsAddress(std::string(text))) return true;
  if (text.empty() || text.size() > kLongestName) return false;
  for (const char c : text) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_' && c != '.') return false;
  }
  return true;
}

absl::StatusOr<Issued> MakeAuthority(absl::Time begins, absl::Time ends) {
  const openssl::Key key(EVP_EC_gen("P-256"));
  const openssl::Certificate certificate(X509_new());
  X509* const it = certificate.get();
  if (key == nullptr || X509_set_version(it, X509_VERSION_3) != 1 || !SetSerial(it) ||
      !SetTimes(it, begins, ends) || !SetName(X509_get_subject_name(it), kAuthorityName) ||
      X509_set_issuer_name(it, X509_get_subject_name(it)) != 1 || X509_set_pubkey(it, key.get()) != 1 ||
      !AddExtension(it, it, NID_subject_key_identifier, "hash") ||
      !AddExtension(it, it, NID_basic_constraints, "critical,CA:TRUE") ||
      !AddExtension(it, it, NID_key_usage, "critical,keyCertSign,cRLSign") ||
      X509_sign(it, key.get(), EVP_sha256()) == 0) {
    return Failed("an authority cannot be made");
  }
  return Texts(certificate, key);
}

absl::StatusOr<Issued> Sign(const Issued& authority, const CertificateRequest& request) {
  DR_ASSIGN_OR_RETURN(const openssl::Certificates issuers, ParseCertificates(authority.certificate));
  DR_ASSIGN_OR_RETURN(const openssl::Key issuer_key, ParseKey(authority.key));
  X509* const issuer = sk_X509_value(issuers.get(), 0);
  if (X509_check_private_key(issuer, issuer_key.get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("is not the authority of this key");
  }
  const openssl::Key key(EVP_EC_gen("P-256"));
  const openssl::Certificate certificate(X509_new());
  X509* const it = certificate.get();
  if (key == nullptr || X509_set_version(it, X509_VERSION_3) != 1 || !SetSerial(it) ||
      !SetTimes(it, request.begins, request.ends) ||
      !SetName(X509_get_subject_name(it), request.names.front().substr(0, kLongestCommonName)) ||
      X509_set_issuer_name(it, X509_get_subject_name(issuer)) != 1 || X509_set_pubkey(it, key.get()) != 1 ||
      !AddExtension(it, issuer, NID_subject_key_identifier, "hash") ||
      !AddExtension(it, issuer, NID_authority_key_identifier, "keyid") ||
      !AddExtension(it, issuer, NID_basic_constraints, "critical,CA:FALSE") ||
      !AddExtension(it, issuer, NID_key_usage, "critical,digitalSignature") ||
      !AddExtension(it, issuer, NID_ext_key_usage, "serverAuth,clientAuth") ||
      !AddExtension(it, issuer, NID_subject_alt_name, AlternativeNames(request.names)) ||
      X509_sign(it, issuer_key.get(), EVP_sha256()) == 0) {
    return Failed("a certificate cannot be made");
  }
  return Texts(certificate, key);
}

}  // namespace deeprack::cli
