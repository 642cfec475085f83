// Certificates and keys as PEM texts: reading them, and what they say.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/rpc/openssl_objects.h"

namespace deeprack {

// What a certificate says. Whole seconds.
struct CertificateFacts {
  std::string subject;             // the common name; "" without one
  std::vector<std::string> names;  // DNS names and IP addresses, in the certificate's order
  absl::Time begins, ends;         // the certificate is valid from `begins` to `ends`
};

CertificateFacts FactsOf(const X509& certificate);

// The common name and the names, quoted on one line of readable characters: the certificate may be a
// stranger's.
std::string Describe(const CertificateFacts& facts);

// "2026-11-30T01:20:00Z".
std::string TimeText(absl::Time time);

// All certificates of a PEM text, in its order; at least one. InvalidArgument: the text has none, or a
// damaged one. The message is a phrase such as "holds no PEM certificate".
absl::StatusOr<openssl::Certificates> ParseCertificates(const std::string& pem);

// InvalidArgument: the text has no key that can be read without a password. The message is a phrase.
absl::StatusOr<openssl::Key> ParseKey(const std::string& pem);

}  // namespace deeprack
