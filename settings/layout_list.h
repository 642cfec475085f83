// The layouts of which the largest that has its workers is formed: the value of --layouts.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/layout/layout.h"

namespace deeprack {

// "tp8dp4,tp8dp2" is two layouts. A layout is written as tp, dp, ep and pp, each with its number, in this
// order; what is left out is 1, and ep is then tp * dp. InvalidArgument: another form, a number outside 1 ..
// 4096, or a layout that does not have fewer ranks than the one before it.
absl::StatusOr<std::vector<model::Layout>> ParseLayouts(absl::string_view text);

// The text that ParseLayouts reads: "tp8dp4,tp8dp2".
std::string LayoutsText(const std::vector<model::Layout>& layouts);

}  // namespace deeprack
