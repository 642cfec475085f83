#include "kernels/cuda/hopper/needs.h"

#include <algorithm>

#include "kernels/api/card_kernels.h"
#include "kernels/cuda/choice/operation_names.h"
#include "kernels/cuda/plain/needs.h"

namespace deeprack::kernels {
namespace hopper {

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

}  // namespace hopper

KernelNeeds CardNeeds(const KernelChoice& choice) {
  KernelNeeds needs = plain::Needs();
  bool multiplies = false, norms = false, dispatches = false;
  for (const SpecialKernel& kernel : choice.used) {
    needs.scratch_bytes = hopper::ScratchOf;
    multiplies |= IsProduct(kernel.operation);
    norms |= kernel.operation == kOperationNorm;
    dispatches |= kernel.operation == kOperationDispatch;
    if (kernel.operation == kOperationFp8Product) {
      needs.row_major.fp8 = true;
    } else if (kernel.operation == kOperationBf16Product) {
      needs.row_major.bf16 = true;
    } else if (kernel.operation == kOperationInt4Product) {
      needs.row_major.int4 = kernel.name == kInt4ByBF16 ? WeightLayout::kTiles : WeightLayout::kTilesForE4M3;
    } else if (kernel.operation == kOperationMla || kernel.operation == kOperationMlaFp8) {
      (kernel.operation == kOperationMla ? needs.planned_caches.bf16 : needs.planned_caches.fp8) = true;
      needs.mla_plan_bytes = hopper::MlaPlanBytes;
    } else if (kernel.operation == kOperationExpandedAttention) {
      needs.expanded_plan_bytes = hopper::ExpandedPlanBytes;
    } else if (kernel.operation == kOperationPeerSum) {
      needs.sums_among_peers = true;
    } else if (kernel.operation == kOperationPeerExchange) {
      needs.exchanges_among_peers = true;
    }
  }
  if (multiplies && norms) {
    needs.reads_rounded = hopper::ReadsRounded;
    if (dispatches) needs.dispatches_rounded = hopper::DispatchesRounded;
  }
  return needs;
}

}  // namespace deeprack::kernels
