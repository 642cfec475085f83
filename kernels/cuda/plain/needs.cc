#include "kernels/cuda/plain/needs.h"

#include "base/checked.h"

namespace deeprack::kernels::plain {

KernelNeeds Needs() { return {.row_major = {.int4 = WeightLayout::kTiles}, .scratch_bytes = ScratchOf}; }

ScratchBytes ScratchOf(const StepBounds& bounds) {
  if (bounds.expanded.heads == 0) return {};
  return {.data = CutExpanded(bounds.expanded, nullptr).bytes};
}

ExpandedBuffers CutExpanded(const ExpandedShape& shape, void* memory) {
  constexpr int64_t kAlignment = 128;
  int64_t used = 0;
  const auto take = [&](int64_t bytes) -> void* {
    const int64_t begin = used;
    used += RoundUp(bytes, kAlignment);
    return memory == nullptr ? nullptr : static_cast<char*>(memory) + begin;
  };
  const int64_t floats = shape.rows * shape.heads * static_cast<int64_t>(sizeof(float));
  const int64_t features = shape.heads * (shape.query_dim() + shape.value_dim);
  ExpandedBuffers buffers = {};
  buffers.expanded = take(kExpandedSpan * features * static_cast<int64_t>(SizeOf(shape.type)));
  buffers.sums = static_cast<float*>(take(floats * shape.value_dim));
  buffers.stats = static_cast<float*>(take(floats * 2));
  buffers.bytes = used;
  return buffers;
}

}  // namespace deeprack::kernels::plain
