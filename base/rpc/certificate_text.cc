#include "base/rpc/certificate_text.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <ctime>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/message_text.h"

namespace deeprack {
namespace {

openssl::Bio Reader(const std::string& text) {
  return openssl::Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

absl::Time TimeOf(const ASN1_TIME* time) {
  std::tm fields{};
  if (ASN1_TIME_to_tm(time, &fields) != 1) return absl::InfinitePast();
  return absl::FromTM(fields, absl::UTCTimeZone());
}

std::string CommonName(const X509& certificate) {
  char text[256] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(&certificate), NID_commonName, text, sizeof(text));
  return text;
}

std::string TextOf(const ASN1_STRING* text) {
  return std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                     static_cast<size_t>(ASN1_STRING_length(text)));
}

std::string AddressText(const ASN1_OCTET_STRING* address) {
  char text[INET6_ADDRSTRLEN] = "";
  const int family = ASN1_STRING_length(address) == 4 ? AF_INET : AF_INET6;
  if (family == AF_INET6 && ASN1_STRING_length(address) != 16) return "an address that cannot be read";
  inet_ntop(family, ASN1_STRING_get0_data(address), text, sizeof(text));
  return text;
}

std::vector<std::string> NamesOf(const X509& certificate) {
  const openssl::Names names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
  std::vector<std::string> texts;
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) texts.push_back(TextOf(name->d.dNSName));
    if (name->type == GEN_IPADD) texts.push_back(AddressText(name->d.iPAddress));
  }
  return texts;
}

}  // namespace

CertificateFacts FactsOf(const X509& certificate) {
  return {.subject = CommonName(certificate),
          .names = NamesOf(certificate),
          .begins = TimeOf(X509_get0_notBefore(&certificate)),
          .ends = TimeOf(X509_get0_notAfter(&certificate))};
}

std::string Describe(const CertificateFacts& facts) {
  const std::string names = QuotedName(absl::StrJoin(facts.names, ", "));
  return absl::StrCat(QuotedName(facts.subject), " (", facts.names.empty() ? "no names" : "names " + names,
                      ")");
}

std::string TimeText(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

absl::StatusOr<openssl::Certificates> ParseCertificates(const std::string& pem) {
  openssl::Certificates certificates(sk_X509_new_null());
  const openssl::Bio bio = Reader(pem);
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    sk_X509_push(certificates.get(), certificate);
  }
  const bool clean_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (!clean_end) return absl::InvalidArgumentError("holds a damaged PEM certificate");
  if (sk_X509_num(certificates.get()) == 0) return absl::InvalidArgumentError("holds no PEM certificate");
  return certificates;
}

absl::StatusOr<openssl::Key> ParseKey(const std::string& pem) {
  const auto no_password = [](char*, int, int, void*) { return 0; };
  openssl::Key key(PEM_read_bio_PrivateKey(Reader(pem).get(), nullptr, no_password, nullptr));
  ERR_clear_error();
  if (key == nullptr)
    return absl::InvalidArgumentError("holds no PEM private key that can be read without a password");
  return key;
}

}  // namespace deeprack
