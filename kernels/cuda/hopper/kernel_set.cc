#include "base/check.h"
#include "kernels/api/card_kernels.h"
#include "kernels/cuda/choice/operation_names.h"
#include "kernels/cuda/hopper/operations.h"
#include "kernels/cuda/plain/operations.h"
#include "kernels/cuda/sm90/peers.h"

namespace deeprack::kernels {

KernelSet CardKernels(const KernelChoice& choice) {
  KernelSet set = WithNeeds(CardNeeds(choice), plain::Kernels());
  bool multiplies = false;
  for (const SpecialKernel& kernel : choice.used) {
    set.name = "cuda-sm90";
    if (IsProduct(kernel.operation)) {
      multiplies = true;
    } else if (kernel.operation == kOperationMla || kernel.operation == kOperationMlaFp8) {
      set.mla_attention = hopper::MlaAttention;
      set.plan_mla = hopper::PlanMla;
    } else if (kernel.operation == kOperationMlaPrepare) {
      set.mla_prepare = hopper::MlaPrepare;
    } else if (kernel.operation == kOperationExpandedAttention) {
      set.expanded_attention = hopper::ExpandedAttention;
      set.plan_expanded = hopper::PlanExpanded;
    } else if (kernel.operation == kOperationGate) {
      set.gate = hopper::Gate;
    } else if (kernel.operation == kOperationGroupByExpert) {
      set.group_by_expert = hopper::GroupByExpert;
    } else if (kernel.operation == kOperationCombine) {
      set.combine = hopper::Combine;
    } else if (kernel.operation == kOperationDispatch) {
      set.plan_dispatch = hopper::PlanDispatch;
      set.pack_dispatch = hopper::PackDispatch;
    } else if (kernel.operation == kOperationFeedForward) {
      set.feed_forward = hopper::FeedForward;
      set.grouped_feed_forward = hopper::GroupedFeedForward;
    } else if (kernel.operation == kOperationNorm) {
      set.rms_norm = hopper::RmsNorm;
      set.add_rms_norm = hopper::AddRmsNorm;
    } else if (kernel.operation == kOperationPeerSum) {
      set.peer_sum = sm90::PeerSum;
    } else if (kernel.operation == kOperationPeerExchange) {
      set.peer_exchange = sm90::PeerExchange;
    } else {
      DR_CHECK(!"a special kernel that no operation is made of");
    }
  }
  if (multiplies) {
    set.linear = hopper::Linear;
    set.head_linear = hopper::HeadLinear;
    set.grouped_linear = hopper::GroupedLinear;
  }
  // peer_add_rms_norm contains the Hopper norm. Its bits agree with add_rms_norm only if add_rms_norm is the
  // Hopper norm too.
  if (set.peer_sum != nullptr && set.add_rms_norm == hopper::AddRmsNorm)
    set.peer_add_rms_norm = hopper::PeerAddRmsNorm;
  return set;
}

}  // namespace deeprack::kernels
