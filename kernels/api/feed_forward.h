// A SwiGLU feed-forward as one operation, for backends that have it so: what its three steps are given. `out`
// of the last is theirs in order, but that a backend may round less between them; what the buffers between
// them then hold is not said. A row's result is the same alone and in any batch.
#pragma once

#include "kernels/api/elementwise.h"
#include "kernels/api/linear.h"

namespace deeprack::kernels {

struct FeedForwardArgs {
  LinearArgs gate_up;
  SwiGluArgs swiglu;
  LinearArgs down;
};

// By experts: gate_up and down have the same offsets.
struct GroupedFeedForwardArgs {
  GroupedLinearArgs gate_up;
  SwiGluArgs swiglu;
  GroupedLinearArgs down;
};

}  // namespace deeprack::kernels
