// The operations of one instruction set, and the KernelSet of each instruction set. Each file with vector
// code is compiled once for each instruction set, in a namespace of its own (kernels/CMakeLists.txt).
#pragma once

#include "kernels/api/kernel_set.h"

#ifdef DEEPRACK_SIMD
namespace deeprack::kernels::DEEPRACK_SIMD {

void Embedding(const EmbeddingArgs& args, const Execution& execution);
void RmsNorm(const RmsNormArgs& args, const Execution& execution);
void AddRmsNorm(const AddRmsNormArgs& args, const Execution& execution);
void Add(const AddArgs& args, const Execution& execution);
void Linear(const LinearArgs& args, const Execution& execution);
void HeadLinear(const HeadLinearArgs& args, const Execution& execution);
void GroupedLinear(const GroupedLinearArgs& args, const Execution& execution);
void SwiGlu(const SwiGluArgs& args, const Execution& execution);
void Rope(const RopeArgs& args, const Execution& execution);
void KvWrite(const KvWriteArgs& args, const Execution& execution);
void MlaAttention(const MlaAttentionArgs& args, const Execution& execution);
void ExpandedAttention(const ExpandedAttentionArgs& args, const Execution& execution);
void GqaAttention(const GqaAttentionArgs& args, const Execution& execution);
void Gate(const GateArgs& args, const Execution& execution);
void Combine(const CombineArgs& args, const Execution& execution);
void FindNonFinite(const FindNonFiniteArgs& args, const Execution& execution);
void Sample(const SampleArgs& args, const Execution& execution);
void Logprobs(const LogprobsArgs& args, const Execution& execution);

}  // namespace deeprack::kernels::DEEPRACK_SIMD
#endif

namespace deeprack::kernels {

// Operations without vector code, compiled once. WriteFp8Entries is KvWrite for a cache in fp8.
void WriteFp8Entries(const KvWriteArgs& args, const Execution& execution);
void GroupByExpert(const GroupByExpertArgs& args, const Execution& execution);
void CopyRows(const CopyRowsArgs& args, const Execution& execution);
void PlanDispatch(const PlanDispatchArgs& args, const Execution& execution);
void PackDispatch(const PackDispatchArgs& args, const Execution& execution);
void UnpackDispatch(const UnpackDispatchArgs& args, const Execution& execution);
void AdjustLogits(const AdjustLogitsArgs& args, const Execution& execution);
void MaskLogits(const MaskLogitsArgs& args, const Execution& execution);

namespace generic {
extern const KernelSet kKernels;
}
namespace avx2 {
extern const KernelSet kKernels;
}
namespace avx512 {
extern const KernelSet kKernels;
}
namespace avx512_bf16 {
extern const KernelSet kKernels;
}

}  // namespace deeprack::kernels
