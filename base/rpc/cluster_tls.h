// The certificates by which the processes of one cluster authenticate each other (mutual TLS).
//
// Each cluster has its own certificate authority. A process belongs to the cluster when it has a certificate
// that the authority signed for the name kClusterName. Addresses are not checked, so nodes may join and leave
// without new certificates. `deeprack certs` makes the certificates.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace deeprack {

inline constexpr char kClusterName[] = "deeprack";  // the DNS name in every member's certificate

// PEM texts of the three files.
struct ClusterTls {
  std::string authority;    // ca.crt
  std::string certificate;  // tls.crt: this process's certificate, then intermediate certificates if any
  std::string key;          // tls.key
};

// The text of a PEM file. FailedPrecondition: no such file, or over 1 MiB. The message begins with the path.
absl::StatusOr<std::string> ReadPemFile(const std::string& path);

// Reads ca.crt, tls.crt and tls.key of `folder` (the file names of a Kubernetes TLS secret), and checks them
// by CheckClusterTls. FailedPrecondition: the message names the file and what to do.
absl::StatusOr<ClusterTls> LoadClusterTls(const std::string& folder);

// Checks what a TLS handshake would refuse without a clear reason: the files parse, the key belongs to the
// certificate, the authority signed the certificate, and the certificate is valid now, for kClusterName, for
// servers and for clients. FailedPrecondition: the message names the file in `folder` and what to do.
absl::Status CheckClusterTls(const ClusterTls& tls, const std::string& folder);

enum class PeerRole { kServer, kClient };

// Checks the certificates that a peer presents (PEM; the peer's own certificate first): the authority (PEM)
// signed them, and they are valid now, for this role and for kClusterName. Returns "" for a member of the
// cluster. Otherwise returns why the peer is no member, with the certificate's subject and names.
std::string RefusalOfPeer(const std::string& authority, const std::string& chain, PeerRole role);

}  // namespace deeprack
