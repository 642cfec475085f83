// Certificates for tests, made by the code of `deeprack certs`.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/rpc/cluster_tls.h"
#include "cli/certs/authority.h"

namespace deeprack {

// Makes a new folder with ca.crt, ca.key, tls.crt and tls.key. The folder is removed when the program ends.
std::string MakeCertificates();

// An authority that is valid now and was valid for the last month.
cli::Issued MakeAuthority();

// A member of the authority's cluster: valid now, for kClusterName. The arguments change this.
struct MemberOptions {
  std::vector<std::string> names = {kClusterName};
  absl::Duration begins = -absl::Hours(1), ends = absl::Hours(24);  // from now
};
ClusterTls MemberOf(const cli::Issued& authority, const MemberOptions& options = {});

}  // namespace deeprack
