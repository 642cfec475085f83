#include "coordinator/api/http_head.h"

#include <algorithm>

#include <boost/beast/core/string.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace deeprack::coordinator {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;

absl::string_view View(beast::string_view text) { return {text.data(), text.size()}; }

std::optional<std::string> FaultOfHost(const http::request_header<>& head) {
  const size_t hosts = head.count(http::field::host);
  if (hosts > 1) return absl::StrCat("it has ", hosts, " Host headers");
  if (hosts == 0) {
    if (head.version() < 11) return std::nullopt;
    return "it has no Host header, which HTTP/1.1 needs";
  }
  const absl::string_view host = View(head[http::field::host]);
  if (host.find_first_of(" \t,/\\@?#") != host.npos) return "its Host header is not host:port";
  return std::nullopt;
}

std::optional<std::string> FaultOfLength(const http::request_header<>& head) {
  const size_t codings = head.count(http::field::transfer_encoding);
  const size_t lengths = head.count(http::field::content_length);
  if (codings > 0) {
    const bool chunked = codings == 1 && head.version() >= 11 &&
                         beast::iequals(head[http::field::transfer_encoding], "chunked");
    if (!chunked) return "Transfer-Encoding must be chunked, once, in HTTP/1.1";
    if (lengths > 0) return "it has both Content-Length and Transfer-Encoding";
  }
  if (lengths > 1) return absl::StrCat("it has ", lengths, " Content-Length headers");
  const absl::string_view length = View(head[http::field::content_length]);
  if (lengths == 1 && !std::all_of(length.begin(), length.end(), absl::ascii_isdigit)) {
    return "its Content-Length is not one number";
  }
  return std::nullopt;
}

}  // namespace

size_t EmptyLineBytes(absl::string_view bytes) {
  size_t count = 0;
  while (bytes.substr(count, 2) == "\r\n") count += 2;
  return count;
}

bool MayBeginRequest(absl::string_view bytes) {
  return bytes == "\r" || absl::ascii_isalpha(bytes[0]) ||
         absl::StrContains("!#$%&'*+-.^_`|~", bytes.substr(0, 1)) || absl::ascii_isdigit(bytes[0]);
}

std::optional<size_t> HeadSize(absl::string_view bytes) {
  const size_t end = bytes.find("\r\n\r\n");
  if (end == bytes.npos) return std::nullopt;
  return end + 4;
}

std::optional<std::string> FaultOfHead(absl::string_view raw, const http::request_header<>& head) {
  if (absl::StrContains(raw, "\r\n ") || absl::StrContains(raw, "\r\n\t")) {
    return "a header line begins with a space";
  }
  if (std::optional<std::string> fault = FaultOfHost(head)) return fault;
  if (std::optional<std::string> fault = FaultOfLength(head)) return fault;
  const absl::string_view target = View(head.target());
  if (PathOfTarget(target).empty() && target != "*") return "its target is neither a path nor a URL";
  return std::nullopt;
}

std::string PathOfTarget(absl::string_view target) {
  if (absl::StartsWithIgnoreCase(target, "http://") || absl::StartsWithIgnoreCase(target, "https://")) {
    target.remove_prefix(target.find("//") + 2);
    const size_t path = target.find_first_of("/?");
    if (path == target.npos || target[path] == '?') return "/";
    target.remove_prefix(path);
  }
  if (!absl::StartsWith(target, "/")) return "";
  return std::string(target.substr(0, target.find('?')));
}

}  // namespace deeprack::coordinator
