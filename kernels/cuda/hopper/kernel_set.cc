#include "kernels/cuda/hopper/kernel_set.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/cuda/hopper/operations.h"
#include "kernels/cuda/plain/operations.h"
#include "kernels/cuda/sm90/peers.h"

namespace deeprack::kernels::hopper {

ScratchBytes ScratchOf(const StepBounds& bounds) {
  ScratchBytes bytes = plain::ScratchOf(bounds);
  for (const ProductBound& product : bounds.products) {
    const ScratchBytes more = ScratchOfProduct(product);
    bytes.counters = std::max(bytes.counters, more.counters);
    bytes.data = std::max(bytes.data, more.data);
  }
  if (bounds.attention.heads > 0) {
    bytes.data = std::max(bytes.data, ScratchOfAttention(bounds.attention, bounds.multiprocessors));
  }
  const ScratchBytes expanded = ScratchOfExpanded(bounds.expanded);
  bytes.counters = std::max(bytes.counters, expanded.counters);
  bytes.data = std::max(bytes.data, expanded.data);
  return bytes;
}

KernelSet KernelsFor(const KernelChoice& choice) {
  KernelSet set = plain::Kernels();
  bool multiplies = false;
  for (const SpecialKernel& kernel : choice.used) {
    set.name = "cuda-sm90";
    set.scratch_bytes = ScratchOf;
    if (kernel.operation == kOperationFp8Product) {
      set.row_major.fp8 = true;
      multiplies = true;
    } else if (kernel.operation == kOperationBf16Product) {
      set.row_major.bf16 = true;
      multiplies = true;
    } else if (kernel.operation == kOperationInt4Product) {
      set.row_major.int4 = kernel.name == kInt4ByBF16 ? WeightLayout::kTiles : WeightLayout::kTilesForE4M3;
      multiplies = true;
    } else if (kernel.operation == kOperationMla || kernel.operation == kOperationMlaFp8) {
      (kernel.operation == kOperationMla ? set.planned_caches.bf16 : set.planned_caches.fp8) = true;
      set.mla_attention = MlaAttention;
      set.mla_plan_bytes = MlaPlanBytes;
      set.plan_mla = PlanMla;
    } else if (kernel.operation == kOperationMlaPrepare) {
      set.mla_prepare = MlaPrepare;
    } else if (kernel.operation == kOperationExpandedAttention) {
      set.expanded_attention = ExpandedAttention;
      set.expanded_plan_bytes = ExpandedPlanBytes;
      set.plan_expanded = PlanExpanded;
    } else if (kernel.operation == kOperationGate) {
      set.gate = Gate;
    } else if (kernel.operation == kOperationGroupByExpert) {
      set.group_by_expert = GroupByExpert;
    } else if (kernel.operation == kOperationCombine) {
      set.combine = Combine;
    } else if (kernel.operation == kOperationDispatch) {
      set.plan_dispatch = PlanDispatch;
      set.pack_dispatch = PackDispatch;
    } else if (kernel.operation == kOperationFeedForward) {
      set.feed_forward = FeedForward;
      set.grouped_feed_forward = GroupedFeedForward;
    } else if (kernel.operation == kOperationNorm) {
      set.rms_norm = RmsNorm;
      set.add_rms_norm = AddRmsNorm;
    } else if (kernel.operation == kOperationPeerSum) {
      set.peer_sum = sm90::PeerSum;
    } else if (kernel.operation == kOperationPeerExchange) {
      set.peer_exchange = sm90::PeerExchange;
    } else {
      DR_CHECK(!"a special kernel that no operation is made of");
    }
  }
  if (multiplies) {
    set.linear = Linear;
    set.head_linear = HeadLinear;
    set.grouped_linear = GroupedLinear;
  }
  if (set.linear == Linear && set.rms_norm == RmsNorm) {
    set.reads_rounded = ReadsRounded;
    if (set.pack_dispatch == PackDispatch) set.dispatches_rounded = DispatchesRounded;
  }
  // The norm within it is Hopper's: whoever has the plain one beside it would get other bits.
  if (set.peer_sum != nullptr && set.add_rms_norm == AddRmsNorm) set.peer_add_rms_norm = PeerAddRmsNorm;
  return set;
}

}  // namespace deeprack::kernels::hopper
