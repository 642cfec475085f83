#include "kernels/cuda/plain/operations.h"

namespace deeprack::kernels::plain {

namespace {

constexpr KernelSet kOperations = {
    .name = "cuda-plain",
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

const KernelSet& Kernels() {
  static const KernelSet set = WithNeeds(Needs(), kOperations);
  return set;
}

}  // namespace deeprack::kernels::plain
