// The certificates with which the processes of one cluster know each other (mutual TLS).
//
// A cluster has a certificate authority of its own. Whoever holds a certificate that it signed, for the name
// kClusterName, belongs to the cluster; addresses play no part, so nodes may come and go.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace deeprack {

inline constexpr char kClusterName[] = "deeprack";  // the DNS name that every member's certificate carries

// PEM texts, as the files have them.
struct ClusterTls {
  std::string authority;    // ca.crt
  std::string certificate;  // tls.crt: this member's, then intermediate ones if any
  std::string key;          // tls.key
};

// Reads ca.crt, tls.crt and tls.key of `folder` (the names of a Kubernetes TLS secret) and checks what a
// handshake would refuse without saying why: that they parse, that the key is the certificate's, that the
// authority signed it, that it is valid now, is for kClusterName, and for servers and clients.
// FailedPrecondition names the file and what to do.
absl::StatusOr<ClusterTls> LoadClusterTls(const std::string& folder);

}  // namespace deeprack
