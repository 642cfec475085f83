// How tokens and experts come together when each rank holds some of the experts.
#pragma once

#include <cstdint>

namespace deeprack::model {

// kReplicated: every rank of a stage has all tokens of the stage and applies its experts to them; one
// all-reduce sums the results. kAllToAll: each token's row is sent to the ranks that hold its experts, and
// their sums are sent back.
enum class ExpertExchange : uint8_t { kReplicated, kAllToAll };

}  // namespace deeprack::model
