// The needs of the plain kernels (KernelNeeds), and the division of their scratch memory. Pure functions,
// without a card.
#pragma once

#include <cstdint>

#include "kernels/api/kernel_needs.h"

namespace deeprack::kernels::plain {

KernelNeeds Needs();

// KernelNeeds::scratch_bytes of the plain kernels.
ScratchBytes ScratchOf(const StepBounds& bounds);

// Expanded attention works in spans of kExpandedSpan positions, which are whole pages, and has buffers for
// one span.
inline constexpr int64_t kExpandedSpan = 512;
struct ExpandedBuffers {
  void* expanded;  // keys and values of shape.type [kExpandedSpan, heads, nope | rope | value]
  float* sums;     // [rows, heads, value_dim]: sums of values of earlier spans
  float* stats;    // [rows, heads, 2]: largest score, sum of weights
  int64_t bytes;
};
// Without memory all pointers are null and only `bytes` is set.
ExpandedBuffers CutExpanded(const ExpandedShape& shape, void* memory);

}  // namespace deeprack::kernels::plain
