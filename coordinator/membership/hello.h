// What a worker says when it joins.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "coordinator/placement/placement.h"
#include "proto/cluster.pb.h"

namespace deeprack::coordinator {

// `peer` is the other end of the worker's connection, as gRPC names it; `version` is this build's. Errors:
// FailedPrecondition (another version, or an address beyond loopback without has_tls), InvalidArgument
// (fields that no worker of this build sends). A message has one line of readable characters.
absl::StatusOr<JoinedNode> NodeFromHello(const cluster::Hello& hello, const std::string& version,
                                         const std::string& peer, bool has_tls);

// The first 500 bytes of the text, with control characters escaped. For the log.
std::string OneLine(std::string_view text);

}  // namespace deeprack::coordinator
