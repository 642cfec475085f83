#include "coordinator/api/request_body.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "coordinator/api/content_coding.h"

namespace deeprack::coordinator {
namespace {

// All headers of this name as one list, in lower case.
std::string HeaderList(const HttpRequest& request, absl::string_view name) {
  std::string list;
  for (const auto& [found, value] : request.headers) {
    if (found == name) absl::StrAppend(&list, list.empty() ? "" : ", ", absl::StripAsciiWhitespace(value));
  }
  return absl::AsciiStrToLower(list);
}

bool IsJson(absl::string_view type) {
  const absl::string_view name = absl::StripAsciiWhitespace(type.substr(0, type.find(';')));
  return name.empty() || name == "application/json" ||
         (absl::StartsWith(name, "application/") && absl::EndsWith(name, "+json"));
}

bool IsGzip(absl::string_view encoding) { return encoding == "gzip" || encoding == "x-gzip"; }

}  // namespace

std::optional<ApiError> FaultOfBodyHeaders(const HttpRequest& request) {
  if (request.body.empty()) return std::nullopt;
  const std::string type = HeaderList(request, "content-type");
  if (!IsJson(type)) {
    return ApiError{.status = 415,
                    .code = "unsupported_media_type",
                    .message = absl::StrCat("Content-Type is \"", type, "\"; send application/json")};
  }
  const std::string encoding = HeaderList(request, "content-encoding");
  if (!encoding.empty() && encoding != "identity" && !IsGzip(encoding)) {
    return ApiError{.status = 415,
                    .code = "unsupported_encoding",
                    .message = absl::StrCat("Content-Encoding is \"", encoding,
                                            "\"; send gzip, or the body without an encoding")};
  }
  return std::nullopt;
}

bool IsCompressed(const HttpRequest& request) {
  return !request.body.empty() && IsGzip(HeaderList(request, "content-encoding"));
}

size_t MostDecodedBytes(const HttpRequest& request, size_t limit) {
  return std::min(limit, request.body.size() * kMostGzipRatio);
}

std::optional<ApiError> DecodeBody(HttpRequest& request, size_t limit) {
  absl::StatusOr<std::string> decoded = Gunzip(request.body, limit);
  if (decoded.ok()) {
    request.body = *std::move(decoded);
    return std::nullopt;
  }
  const std::string message(decoded.status().message());
  if (absl::IsResourceExhausted(decoded.status())) {
    return ApiError{.status = 413, .code = "payload_too_large", .message = message};
  }
  if (absl::IsInvalidArgument(decoded.status())) return BadRequest("malformed_request", "", message);
  return FromStatus(decoded.status());
}

}  // namespace deeprack::coordinator
