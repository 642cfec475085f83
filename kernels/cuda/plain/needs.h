// What the plain kernels need, and how their scratch memory is cut. Pure functions, without a card.
#pragma once

#include <cstdint>

#include "kernels/api/kernel_needs.h"

namespace deeprack::kernels::plain {

KernelNeeds Needs();

// Its scratch_bytes.
ScratchBytes ScratchOf(const StepBounds& bounds);

// Expanded attention: spans of so many positions, whole pages, and the scratch memory for one of them.
inline constexpr int64_t kExpandedSpan = 512;
struct ExpandedBuffers {
  void* expanded;  // keys and values of shape.type [kExpandedSpan, heads, nope | rope | value]
  float* sums;     // the softmaxes between spans: [rows, heads, value_dim]
  float* stats;    // [rows, heads, 2]: largest score, sum of weights
  int64_t bytes;
};
// Without memory: pointers are null.
ExpandedBuffers CutExpanded(const ExpandedShape& shape, void* memory);

}  // namespace deeprack::kernels::plain
