// The table of endpoints: methods, paths, and the shape of their errors.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "coordinator/api/endpoints.h"

namespace deeprack::coordinator {

// When a request needs an API key, where the server has a file of keys.
enum class KeyNeed : uint8_t { kAlways, kNever, kBySetting };

// Exactly one of `read` and `direct` is set.
struct Route {
  absl::string_view method;  // GET also answers HEAD
  absl::string_view path;    // a pattern of MatchPath
  BodyEndpoint read = nullptr;
  DirectEndpoint direct = nullptr;
  ErrorShape errors = ErrorShape::kOpenAi;
  bool generates = false;  // starts sequences: refused while the server drains
  KeyNeed key = KeyNeed::kAlways;
};

struct RouteMatch {
  const Route* route = nullptr;  // null: the path is not served with this method
  std::string id;
  ErrorShape errors = ErrorShape::kOpenAi;
  std::vector<absl::string_view> methods;  // that the path is served with; empty: no such path
  bool known_elsewhere = false;            // no such path here, but one of OpenAI's or vLLM's API
};

RouteMatch FindRoute(absl::string_view method, const std::vector<std::string>& segments);

// The paths of the table, for a message: "/v1/chat/completions, /v1/completions, ...".
std::string ServedPaths();

}  // namespace deeprack::coordinator
