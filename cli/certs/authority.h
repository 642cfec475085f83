// A cluster's certificate authority, and the certificates that it signs, as PEM texts. Nothing here reads or
// writes files.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace deeprack::cli {

struct Issued {
  std::string certificate;
  std::string key;
};

// A certificate for servers and clients.
struct CertificateRequest {
  std::vector<std::string> names;  // DNS names and IP addresses, at least one; the first is the common name
  absl::Time begins, ends;         // whole seconds
};

inline constexpr int kMostDays = 3650;                // of a member's certificate
inline constexpr int kAuthorityDays = kMostDays + 1;  // so that a new authority signs for kMostDays

// A new authority with a new key. Internal: OpenSSL fails.
absl::StatusOr<Issued> MakeAuthority(absl::Time begins, absl::Time ends);

// A certificate with a new key, signed by `authority`. InvalidArgument, with a phrase such as "holds no PEM
// certificate": the authority's texts. Internal: OpenSSL fails.
absl::StatusOr<Issued> Sign(const Issued& authority, const CertificateRequest& request);

// True for an IP address, or a DNS name: 1 to 253 letters, digits, '-', '_' and '.'.
bool IsHostName(absl::string_view text);

}  // namespace deeprack::cli
