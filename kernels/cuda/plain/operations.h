// The plain CUDA kernels: every operation of kernels/api, in simple code, for any card from sm_80 on. Hopper
// kernels replace single operations and are tested against these. Sums have the CPU kernels' order, so
// results are bitwise those of the CPU's generic set, except log-probabilities. All pointers are to the
// card's memory. Launches go to execution.stream and return at once. The same source also builds for the host
// (plain/device.h), where the common test suite runs it.
#pragma once

#include "kernels/api/kernel_set.h"
#include "kernels/cuda/plain/needs.h"

namespace deeprack::kernels::plain {

// All plain kernels as one set.
const KernelSet& Kernels();

void Embedding(const EmbeddingArgs& args, const Execution& execution);
void RmsNorm(const RmsNormArgs& args, const Execution& execution);
void AddRmsNorm(const AddRmsNormArgs& args, const Execution& execution);
void Add(const AddArgs& args, const Execution& execution);
void SwiGlu(const SwiGluArgs& args, const Execution& execution);
void Linear(const LinearArgs& args, const Execution& execution);
void HeadLinear(const HeadLinearArgs& args, const Execution& execution);
void GroupedLinear(const GroupedLinearArgs& args, const Execution& execution);
void Rope(const RopeArgs& args, const Execution& execution);
void KvWrite(const KvWriteArgs& args, const Execution& execution);
void MlaAttention(const MlaAttentionArgs& args, const Execution& execution);
void ExpandedAttention(const ExpandedAttentionArgs& args, const Execution& execution);
void GqaAttention(const GqaAttentionArgs& args, const Execution& execution);
void Gate(const GateArgs& args, const Execution& execution);
void GroupByExpert(const GroupByExpertArgs& args, const Execution& execution);
void Combine(const CombineArgs& args, const Execution& execution);
void CopyRows(const CopyRowsArgs& args, const Execution& execution);
void PlanDispatch(const PlanDispatchArgs& args, const Execution& execution);
void PackDispatch(const PackDispatchArgs& args, const Execution& execution);
void UnpackDispatch(const UnpackDispatchArgs& args, const Execution& execution);
void FindNonFinite(const FindNonFiniteArgs& args, const Execution& execution);
void AdjustLogits(const AdjustLogitsArgs& args, const Execution& execution);
void MaskLogits(const MaskLogitsArgs& args, const Execution& execution);
void Sample(const SampleArgs& args, const Execution& execution);
void Logprobs(const LogprobsArgs& args, const Execution& execution);

}  // namespace deeprack::kernels::plain
