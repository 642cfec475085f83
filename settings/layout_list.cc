#include "settings/layout_list.h"

#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace deeprack {
namespace {

constexpr int32_t kMostRanks = 4096;  // in one dimension of the layout

// Takes `name` and its number from the front of `text`, if `text` begins with `name`. False: the number is
// missing or out of range.
bool TakeAxis(absl::string_view name, absl::string_view& text, int32_t& number) {
  if (!absl::ConsumePrefix(&text, name)) return true;
  size_t digits = 0;
  while (digits < text.size() && absl::ascii_isdigit(static_cast<unsigned char>(text[digits]))) ++digits;
  if (!absl::SimpleAtoi(text.substr(0, digits), &number) || number < 1 || number > kMostRanks) return false;
  text.remove_prefix(digits);
  return true;
}

bool ParseLayout(absl::string_view text, model::Layout& layout) {
  layout = {.tp = 1, .dp = 1, .ep = 0, .pp = 1};
  if (text.empty() || !TakeAxis("tp", text, layout.tp) || !TakeAxis("dp", text, layout.dp) ||
      !TakeAxis("ep", text, layout.ep) || !TakeAxis("pp", text, layout.pp) || !text.empty()) {
    return false;
  }
  if (int64_t{layout.tp} * layout.dp * layout.pp > int64_t{kMostRanks} * kMostRanks) return false;
  if (layout.ep == 0) layout.ep = layout.tp * layout.dp;
  return true;
}

}  // namespace

absl::StatusOr<std::vector<model::Layout>> ParseLayouts(absl::string_view text) {
  std::vector<model::Layout> layouts;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    model::Layout layout;
    if (!ParseLayout(absl::StripAsciiWhitespace(part), layout)) {
      return absl::InvalidArgumentError(
          "must be layouts such as tp8dp4,tp8dp2: tp, dp, ep and pp in this order, each with a number");
    }
    if (!layouts.empty() && layout.world_size() >= layouts.back().world_size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("must begin with the layout of most ranks: ", model::ToString(layout), " has ",
                       layout.world_size(), ", the layout before it ", layouts.back().world_size()));
    }
    layouts.push_back(layout);
  }
  return layouts;
}

std::string LayoutsText(const std::vector<model::Layout>& layouts) {
  return absl::StrJoin(layouts, ",", [](std::string* out, const model::Layout& layout) {
    absl::StrAppend(out, "tp", layout.tp);
    if (layout.dp > 1) absl::StrAppend(out, "dp", layout.dp);
    if (layout.ep != layout.stage_size()) absl::StrAppend(out, "ep", layout.ep);
    if (layout.pp > 1) absl::StrAppend(out, "pp", layout.pp);
  });
}

}  // namespace deeprack
