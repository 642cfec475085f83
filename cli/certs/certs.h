// `deeprack certs`: makes and shows the certificates of a cluster, which --cluster-tls reads.
//
// A folder has ca.crt (the authority), tls.crt and tls.key (a member's certificate and key). The authority's
// folder also has ca.key, which signs further certificates. Keys have mode 0600. No file is overwritten.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace deeprack::cli {

struct CertsOptions {
  std::vector<std::string> hosts;  // names and IP addresses that the certificate has beside kClusterName
  int days = 365;                  // how long the certificate is valid
};

// Makes an authority and a first certificate: ca.crt, ca.key, tls.crt and tls.key. Makes the folder.
// InvalidArgument: a host that is no name. FailedPrecondition: the folder has one of these files, or cannot
// be written.
absl::Status MakeCerts(const std::string& folder, const CertsOptions& options, absl::Time now);

// Makes another certificate of the authority in `authority`: ca.crt, tls.crt and tls.key in `folder`. Errors:
// those of MakeCerts. FailedPrecondition also: the authority's files are missing or wrong, or the authority
// ends before the certificate.
absl::Status AddCert(const std::string& authority, const std::string& folder, const CertsOptions& options,
                     absl::Time now);

// Prints whose the certificates are, their names and their times. FailedPrecondition: the cluster would
// refuse them, for instance because they have expired.
absl::Status ShowCerts(const std::string& folder, absl::Time now);

}  // namespace deeprack::cli
