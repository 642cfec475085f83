// A SwiGLU feed-forward as one operation: the arguments of its three steps, which run in order. `down.out` is
// the result of the three steps, except that a backend may round less between the steps. The contents of the
// buffers between the steps are undefined afterwards. A row's result is the same alone and in any batch.
#pragma once

#include "kernels/api/elementwise.h"
#include "kernels/api/linear.h"

namespace deeprack::kernels {

struct FeedForwardArgs {
  LinearArgs gate_up;
  SwiGluArgs swiglu;
  LinearArgs down;
};

// The same for grouped rows of experts. gate_up and down have the same offsets.
struct GroupedFeedForwardArgs {
  GroupedLinearArgs gate_up;
  SwiGluArgs swiglu;
  GroupedLinearArgs down;
};

}  // namespace deeprack::kernels
