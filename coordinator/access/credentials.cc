#include "coordinator/access/credentials.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace deeprack::coordinator {

absl::string_view KeyOfHeaders(absl::string_view authorization, absl::string_view x_api_key) {
  constexpr absl::string_view kScheme = "bearer ";
  if (absl::StartsWithIgnoreCase(authorization, kScheme)) {
    return absl::StripAsciiWhitespace(authorization.substr(kScheme.size()));
  }
  return absl::StripAsciiWhitespace(x_api_key);
}

// A key's name has no zero byte, so no two pairs of name and salt give the same text.
std::string CacheSalt(const Caller& caller, absl::string_view of_client) {
  if (caller.key.empty()) return std::string(of_client);
  return absl::StrCat(caller.key, absl::string_view("\0", 1), of_client);
}

}  // namespace deeprack::coordinator
