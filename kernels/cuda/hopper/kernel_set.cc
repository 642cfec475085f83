#include "kernels/cuda/hopper/kernel_set.h"

#include "base/check.h"
#include "kernels/cuda/hopper/operations.h"
#include "kernels/cuda/plain/operations.h"
#include "kernels/cuda/sm90/peers.h"

namespace deeprack::kernels::hopper {

KernelSet KernelsFor(const KernelChoice& choice) {
  KernelSet set = WithNeeds(NeedsOf(choice), plain::Kernels());
  bool multiplies = false;
  for (const SpecialKernel& kernel : choice.used) {
    set.name = "cuda-sm90";
    if (IsProduct(kernel.operation)) {
      multiplies = true;
    } else if (kernel.operation == kOperationMla || kernel.operation == kOperationMlaFp8) {
      set.mla_attention = MlaAttention;
      set.plan_mla = PlanMla;
    } else if (kernel.operation == kOperationMlaPrepare) {
      set.mla_prepare = MlaPrepare;
    } else if (kernel.operation == kOperationExpandedAttention) {
      set.expanded_attention = ExpandedAttention;
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
  // The norm within it is Hopper's: whoever has the plain one beside it would get other bits.
  if (set.peer_sum != nullptr && set.add_rms_norm == AddRmsNorm) set.peer_add_rms_norm = PeerAddRmsNorm;
  return set;
}

}  // namespace deeprack::kernels::hopper
