// The parts of http://host:port/path.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace deeprack::cli {

struct Url {
  std::string host;
  std::string port = "80";
  std::string path;  // without a slash at its end: "" or "/v1"
  std::string key;   // the API key that requests carry; not part of the text

  std::string authority() const;  // host:port, as in the Host header
};

// Reads "127.0.0.1:8000", "http://[::1]:8000/". InvalidArgument: https, which this client does not support,
// or text that is no URL.
absl::StatusOr<Url> ParseUrl(absl::string_view text);

// The API key of $DEEPRACK_API_KEY, or "".
std::string KeyFromEnvironment();

}  // namespace deeprack::cli
