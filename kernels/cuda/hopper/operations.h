// The operations of kernels/api on a Hopper card. Each operation chooses between the Hopper kernel
// (kernels/cuda/sm90) and the plain kernel (kernels/cuda/plain) by the layout, types and sizes of its
// arguments. The number of rows does not affect the choice, so a row's result is the same in any batch. All
// pointers are to the card's memory unless kernels/api says otherwise. Operations allocate nothing and read
// nothing back.
//
// Relative errors. Products with row-major bf16 weights: 1e-5, as the plain products, with another order of
// sums. Products with row-major fp8 weights: x is rounded to e4m3 with a scale for each row and 128 columns
// (kernels/cuda/sm90/quantise.h), so an element is off by at most 1/16 of itself or 1/500000 of the largest
// element of its 128 columns. For normally distributed x that is 2.6% of the result in the mean square. The
// product of the rounded rows is off by 2e-3 (gemm.h). Products with int4 tiles: as fp8 for tiles in the
// order for e4m3 rows, 1e-5 for tiles in the order for bf16 rows. Attention: 8e-3 over a bf16 cache. Over an
// fp8 cache the queries and softmax weights are e4m3 too: 2% of a row in the mean (mla.h).
#pragma once

#include "kernels/api/kernel_set.h"
#include "kernels/cuda/hopper/needs.h"

namespace deeprack::kernels::hopper {

void Linear(const LinearArgs& args, const Execution& execution);
void HeadLinear(const HeadLinearArgs& args, const Execution& execution);
void GroupedLinear(const GroupedLinearArgs& args, const Execution& execution);
void MlaPrepare(const MlaPrepareArgs& args, const Execution& execution);
// If the second product takes e4m3 rows, silu(gate) * up is rounded once, to e4m3.
void FeedForward(const FeedForwardArgs& args, const Execution& execution);
void GroupedFeedForward(const GroupedFeedForwardArgs& args, const Execution& execution);
void MlaAttention(const MlaAttentionArgs& args, const Execution& execution);
void ExpandedAttention(const ExpandedAttentionArgs& args, const Execution& execution);
void Gate(const GateArgs& args, const Execution& execution);
void GroupByExpert(const GroupByExpertArgs& args, const Execution& execution);
void Combine(const CombineArgs& args, const Execution& execution);
void PlanDispatch(const PlanDispatchArgs& args, const Execution& execution);
void PackDispatch(const PackDispatchArgs& args, const Execution& execution);
void RmsNorm(const RmsNormArgs& args, const Execution& execution);
void AddRmsNorm(const AddRmsNormArgs& args, const Execution& execution);
void PeerAddRmsNorm(const PeerAddRmsNormArgs& args, const Execution& execution);

// The plans, made on the host.
void PlanMla(const MlaShape& shape, const AttentionSequence* sequences, void* plan);
void PlanExpanded(const ExpandedShape& shape, const AttentionSequence* sequences, int64_t num_sequences,
                  void* plan);

}  // namespace deeprack::kernels::hopper
