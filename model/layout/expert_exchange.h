// How tokens meet their experts when ranks hold different ones.
#pragma once

#include <cstdint>

namespace deeprack::model {

// kReplicated: every rank of a stage sees all its tokens, applies the experts it holds, and one all-reduce
// sums. kAllToAll: each token's row travels to the ranks that hold its experts, and their sums travel back.
enum class ExpertExchange : uint8_t { kReplicated, kAllToAll };

}  // namespace deeprack::model
