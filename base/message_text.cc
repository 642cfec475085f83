#include "base/message_text.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace deeprack {
namespace {

constexpr size_t kMaxShownBytes = 120;

}  // namespace

std::string QuotedName(std::string_view name) {
  return absl::StrCat("\"", absl::Utf8SafeCEscape(std::string(name.substr(0, kMaxShownBytes))), "\"",
                      name.size() > kMaxShownBytes ? "..." : "");
}

std::string ShapeText(std::span<const int64_t> shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

}  // namespace deeprack
