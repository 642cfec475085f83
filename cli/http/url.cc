#include "cli/http/url.h"

#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace deeprack::cli {

std::string Url::authority() const {
  return host.find(':') == std::string::npos ? absl::StrCat(host, ":", port)
                                             : absl::StrCat("[", host, "]:", port);
}

absl::StatusOr<Url> ParseUrl(absl::string_view text) {
  const auto bad = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "': ", why, "; expected http://host:port"));
  };
  absl::string_view rest = text;
  if (absl::StartsWithIgnoreCase(rest, "https://")) return bad("https is not supported");
  if (absl::StartsWithIgnoreCase(rest, "http://")) rest.remove_prefix(7);
  Url url;
  const size_t slash = rest.find('/');
  if (slash != absl::string_view::npos) {
    url.path = std::string(absl::StripSuffix(rest.substr(slash), "/"));
    rest = rest.substr(0, slash);
  }
  if (absl::StartsWith(rest, "[")) {  // an IPv6 address
    const size_t end = rest.find(']');
    if (end == absl::string_view::npos) return bad("a '[' without ']'");
    url.host = std::string(rest.substr(1, end - 1));
    rest.remove_prefix(end + 1);
  } else {
    const size_t colon = rest.find(':');
    url.host = std::string(rest.substr(0, colon));
    rest.remove_prefix(colon == absl::string_view::npos ? rest.size() : colon);
  }
  if (url.host.empty() || url.host.find_first_of(" \t\r\n") != std::string::npos) return bad("no host");
  if (rest.empty()) return url;
  int port = 0;
  if (rest[0] != ':' || !absl::SimpleAtoi(rest.substr(1), &port) || port < 1 || port > 65535)
    return bad("no port number");
  url.port = absl::StrCat(port);
  return url;
}

std::string KeyFromEnvironment() {
  const char* key = std::getenv("DEEPRACK_API_KEY");
  return key != nullptr ? key : "";
}

}  // namespace deeprack::cli
