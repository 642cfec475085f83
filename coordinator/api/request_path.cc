#include "coordinator/api/request_path.h"

#include <span>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "coordinator/tokenizer/utf8.h"

namespace deeprack::coordinator {
namespace {

std::optional<std::string> DecodePercent(absl::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    char byte = text[i];
    if (byte == '%') {
      if (text.size() - i < 3 || !absl::ascii_isxdigit(text[i + 1]) || !absl::ascii_isxdigit(text[i + 2])) {
        return std::nullopt;
      }
      int value = 0;
      (void)absl::SimpleHexAtoi(text.substr(i + 1, 2), &value);
      byte = static_cast<char>(value);
      i += 2;
    }
    if (absl::ascii_iscntrl(byte)) return std::nullopt;
    decoded.push_back(byte);
  }
  if (FirstInvalidUtf8(decoded)) return std::nullopt;
  return decoded;
}

std::optional<std::string> MatchSegments(std::span<const absl::string_view> pattern,
                                         std::span<const std::string> segments) {
  const bool takes_rest = !pattern.empty() && pattern.back() == "{id*}";
  if (takes_rest ? segments.size() < pattern.size() : segments.size() != pattern.size()) return std::nullopt;
  std::string id;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == "{id*}") {
      id = absl::StrJoin(segments.subspan(i), "/");
    } else if (pattern[i] == "{id}") {
      id = segments[i];
    } else if (pattern[i] != segments[i]) {
      return std::nullopt;
    }
  }
  return id;
}

}  // namespace

std::optional<std::vector<std::string>> PathSegments(absl::string_view path) {
  std::vector<std::string> segments;
  for (const absl::string_view raw : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    std::optional<std::string> segment = DecodePercent(raw);
    if (!segment) return std::nullopt;
    segments.push_back(*std::move(segment));
  }
  return segments;
}

std::optional<std::string> MatchPath(absl::string_view pattern, const std::vector<std::string>& segments) {
  const std::vector<absl::string_view> wanted = absl::StrSplit(pattern, '/', absl::SkipEmpty());
  if (std::optional<std::string> id = MatchSegments(wanted, segments)) return id;
  if (wanted.empty() || wanted.front() != "v1") return std::nullopt;
  return MatchSegments(std::span(wanted).subspan(1), segments);
}

std::optional<std::string> QueryValue(absl::string_view query, absl::string_view name) {
  for (const absl::string_view parameter : absl::StrSplit(query, '&')) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(parameter, absl::MaxSplits('=', 1));
    if (parts.first == name) return DecodePercent(parts.second);
  }
  return std::nullopt;
}

}  // namespace deeprack::coordinator
