// The value of --layouts: the layouts that may be formed, the largest first.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/layout/layout.h"

namespace deeprack {

// "tp8dp4,tp8dp2" is two layouts. A layout is written as tp, dp, ep and pp in this order, each with its
// number. A tp, dp or pp that is left out is 1; an ep that is left out is tp * dp. InvalidArgument: another
// form, a number outside 1 .. 4096, or a layout that does not have fewer ranks than the layout before it.
absl::StatusOr<std::vector<model::Layout>> ParseLayouts(absl::string_view text);

// The text that ParseLayouts reads: "tp8dp4,tp8dp2".
std::string LayoutsText(const std::vector<model::Layout>& layouts);

}  // namespace deeprack
