#include "kernels/cpu/backend.h"

#include "kernels/api/cpu_kernels.h"

#define DEEPRACK_NAME_OF(set) #set
#define DEEPRACK_NAME(set) DEEPRACK_NAME_OF(set)

namespace deeprack::kernels::DEEPRACK_SIMD {

namespace {

constexpr KernelSet kOperations = {
    .name = DEEPRACK_NAME(DEEPRACK_SIMD),
    .embedding = Embedding,
    .rms_norm = RmsNorm,
    .add_rms_norm = AddRmsNorm,
    .add = Add,
    .linear = Linear,
    .head_linear = HeadLinear,
    .grouped_linear = GroupedLinear,
    .swiglu = SwiGlu,
    .rope = Rope,
    .kv_write = KvWrite,
    .mla_attention = MlaAttention,
    .expanded_attention = ExpandedAttention,
    .gqa_attention = GqaAttention,
    .gate = Gate,
    .group_by_expert = GroupByExpert,
    .combine = Combine,
    .copy_rows = CopyRows,
    .plan_dispatch = PlanDispatch,
    .pack_dispatch = PackDispatch,
    .unpack_dispatch = UnpackDispatch,
    .adjust_logits = AdjustLogits,
    .mask_logits = MaskLogits,
    .sample = Sample,
    .logprobs = Logprobs,
    .find_non_finite = FindNonFinite,
};

}  // namespace

// Constant-initialised, so no code of this instruction set runs before CpuKernels() has chosen a set.
constinit const KernelSet kKernels = WithNeeds(kCpuNeeds, kOperations);

}  // namespace deeprack::kernels::DEEPRACK_SIMD
