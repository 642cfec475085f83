// http://host:port/path, taken apart.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace deeprack::cli {

struct Url {
  std::string host;
  std::string port = "80";
  std::string path;  // without a slash at its end: "" or "/v1"

  std::string authority() const;  // host:port, as in the Host header
};

// "127.0.0.1:8000" and "http://[::1]:8000/" are fine. InvalidArgument: https (not spoken), or no URL.
absl::StatusOr<Url> ParseUrl(absl::string_view text);

}  // namespace deeprack::cli
