// Why gRPC cannot connect, or has lost its connection, in words for people.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace deeprack {

// `grpc_message`: the message of a call that failed because its channel has no connection to `address`
// (host:port). Equal causes give equal texts. A cause that is not known here keeps gRPC's words.
std::string ConnectReason(absl::string_view address, absl::string_view grpc_message);

// `grpc_message`: the message of a call whose connection was there and is lost.
std::string LossReason(absl::string_view grpc_message);

}  // namespace deeprack
