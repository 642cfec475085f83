// Runs the common kernel tests with the plain CUDA kernels on a real card: the tests that plain_kernels_test
// runs on the host, compared with the fp64 reference, with tails, poisoned padding and batch invariance;
// linear also bitwise with the CPU. The test waits for every operation and reports its error.
#include <cuda_runtime.h>

#include <cstdio>

#include "kernels/cuda/plain/operations.h"
#include "tests/gpu/pinned_memory.h"
#include "tests/unit/kernels/kernel_test.h"

namespace deeprack::kernels {
namespace {

constexpr int64_t kPinnedBytes = int64_t{4} << 30;

template <class Args, void (*kOperation)(const Args&, const Execution&)>
void AndWait(const Args& args, const Execution&) {
  kOperation(args, {});
  const cudaError_t launch = cudaGetLastError();
  const cudaError_t run = cudaDeviceSynchronize();
  if (launch == cudaSuccess && run == cudaSuccess) return;
  ADD_FAILURE() << "launch: " << cudaGetErrorString(launch) << ", run: " << cudaGetErrorString(run);
  if (run != cudaSuccess) {  // the context is destroyed: no later result would be valid
    std::fprintf(stderr, "the card refuses further work after this error\n");
    std::_Exit(1);
  }
}

const KernelSet& WaitingKernels() {
  static const KernelSet operations = {
      .name = "cuda-plain",
      .embedding = AndWait<EmbeddingArgs, plain::Embedding>,
      .rms_norm = AndWait<RmsNormArgs, plain::RmsNorm>,
      .add_rms_norm = AndWait<AddRmsNormArgs, plain::AddRmsNorm>,
      .add = AndWait<AddArgs, plain::Add>,
      .linear = AndWait<LinearArgs, plain::Linear>,
      .head_linear = AndWait<HeadLinearArgs, plain::HeadLinear>,
      .grouped_linear = AndWait<GroupedLinearArgs, plain::GroupedLinear>,
      .swiglu = AndWait<SwiGluArgs, plain::SwiGlu>,
      .rope = AndWait<RopeArgs, plain::Rope>,
      .kv_write = AndWait<KvWriteArgs, plain::KvWrite>,
      .mla_attention = AndWait<MlaAttentionArgs, plain::MlaAttention>,
      .expanded_attention = AndWait<ExpandedAttentionArgs, plain::ExpandedAttention>,
      .gqa_attention = AndWait<GqaAttentionArgs, plain::GqaAttention>,
      .gate = AndWait<GateArgs, plain::Gate>,
      .group_by_expert = AndWait<GroupByExpertArgs, plain::GroupByExpert>,
      .combine = AndWait<CombineArgs, plain::Combine>,
      .copy_rows = AndWait<CopyRowsArgs, plain::CopyRows>,
      .plan_dispatch = AndWait<PlanDispatchArgs, plain::PlanDispatch>,
      .pack_dispatch = AndWait<PackDispatchArgs, plain::PackDispatch>,
      .unpack_dispatch = AndWait<UnpackDispatchArgs, plain::UnpackDispatch>,
      .adjust_logits = AndWait<AdjustLogitsArgs, plain::AdjustLogits>,
      .mask_logits = AndWait<MaskLogitsArgs, plain::MaskLogits>,
      .sample = AndWait<SampleArgs, plain::Sample>,
      .logprobs = AndWait<LogprobsArgs, plain::Logprobs>,
      .find_non_finite = AndWait<FindNonFiniteArgs, plain::FindNonFinite>,
  };
  static const KernelSet set = WithNeeds({.scratch_bytes = plain::ScratchOf}, operations);
  return set;
}

}  // namespace

std::vector<const KernelSet*> KernelsUnderTest() { return {&WaitingKernels()}; }

}  // namespace deeprack::kernels

int main(int argc, char** argv) {
  deeprack::UsePinnedMemory(deeprack::kernels::kPinnedBytes);
  int result = 1;
  deeprack::RunOnPinnedStack([&] {
    ::testing::InitGoogleTest(&argc, argv);
    result = RUN_ALL_TESTS();
  });
  return result;
}
