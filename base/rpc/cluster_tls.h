// The certificates by which the processes of one cluster authenticate each other (mutual TLS).
//
// Each cluster has its own certificate authority. A process belongs to the cluster when it has a certificate
// that the authority signed for the name kClusterName. Addresses are not checked, so nodes may join and leave
// without new certificates.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace deeprack {

inline constexpr char kClusterName[] = "deeprack";  // the DNS name in every member's certificate

// PEM texts of the three files.
struct ClusterTls {
  std::string authority;    // ca.crt
  std::string certificate;  // tls.crt: this process's certificate, then intermediate certificates if any
  std::string key;          // tls.key
};

// Reads ca.crt, tls.crt and tls.key of `folder` (the file names of a Kubernetes TLS secret). Checks here what
// a TLS handshake would refuse without a clear reason: the files parse, the key belongs to the certificate,
// the authority signed the certificate, and the certificate is valid now, for kClusterName, for servers and
// for clients. FailedPrecondition: the message names the file and what to do.
absl::StatusOr<ClusterTls> LoadClusterTls(const std::string& folder);

}  // namespace deeprack
