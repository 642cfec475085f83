// Asks the agents of a rack, and fills in what they say. Every wait has a limit: a host that gives no answer
// gets a failure.
#pragma once

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "base/rpc/cluster_tls.h"

namespace deeprack::preflight {
class Rack;
}

namespace deeprack::cli {

struct MeasureOptions {
  std::optional<ClusterTls> tls;
  std::string model;                            // path
  bool weights = true;                          // compare files of weights
  bool full = false;                            // digests of all bytes
  std::string packed;                           // folder; "": none
  std::string control;                          // host:port of the coordinator
  std::string http;                             // host:port of the HTTP port; "": hosts need not reach it
  double least_share = 0.5;                     // of the usual rate: a link below it is measured again
  absl::Duration patience = absl::Seconds(30);  // for one answer
};

// Fills rack.hosts, of which name and address are set, at the same time; then the ways to the coordinator,
// one after the other.
void AskHosts(const MeasureOptions& options, preflight::Rack& rack);

// Fills rack.own_files from this machine's disk.
void ReadOwnFiles(const MeasureOptions& options, preflight::Rack& rack);

// Fills rack.links with every ordered pair of hosts that answered. In each round every host sends to one host
// and receives from one host, so that n hosts take n - 1 rounds of about a second. Links that look slow are
// then measured again, one after the other, and the better figures count: other work may have been in the
// way.
void MeasureLinks(const MeasureOptions& options, preflight::Rack& rack);

}  // namespace deeprack::cli
