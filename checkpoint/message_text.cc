#include "checkpoint/message_text.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace deeprack::checkpoint {
namespace {

constexpr size_t kMaxShownBytes = 120;

}  // namespace

std::string QuotedName(const std::string& name) {
  return absl::StrCat("\"", absl::Utf8SafeCEscape(name.substr(0, kMaxShownBytes)), "\"",
                      name.size() > kMaxShownBytes ? "..." : "");
}

std::string ShapeText(std::span<const int64_t> shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

}  // namespace deeprack::checkpoint
