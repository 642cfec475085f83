// Every operation of a backend, as one table of functions. The decoder holds a KernelSet and an Execution and
// knows no backend (cpu_kernels.h and card_kernels.h make sets). A row's result never depends on the other
// rows of a call (batch invariance). tests/unit/kernels runs one suite over all sets.
//
// The relative error that an operation's header states is the largest difference in a row from the fp64
// result, divided by the root mean square of that row. The CPU's sets agree with each other bit for bit,
// except matrix products and attention of bf16 rows in avx512_bf16, which adds pairs of products.
//
// "Memory of the device" is host memory for the CPU and the card's memory for a card. Pointers in arguments
// are to memory of the device unless a header says that the host reads them.
#pragma once

#include <string_view>

#include "base/ids.h"
#include "kernels/api/attention.h"
#include "kernels/api/elementwise.h"
#include "kernels/api/execution.h"
#include "kernels/api/expanded_attention.h"
#include "kernels/api/feed_forward.h"
#include "kernels/api/kernel_needs.h"
#include "kernels/api/linear.h"
#include "kernels/api/moe.h"
#include "kernels/api/norm.h"
#include "kernels/api/peers.h"
#include "kernels/api/sampling.h"

namespace deeprack::kernels {

struct KernelSet : KernelNeeds {
  std::string_view name;  // "generic", "avx2", "avx512", "avx512_bf16", "cuda-plain", "cuda-sm90"
  // Plans of latent and of expanded attention, made on the host. A plan is written to host memory of
  // KernelNeeds::mla_plan_bytes or expanded_plan_bytes, which the caller then copies to the device.
  // `sequences` is in host memory. Its block_table pointers are to memory of the device: plans may hold these
  // pointers, and the host does not read through them. Null: no plan.
  void (*plan_mla)(const MlaShape&, const AttentionSequence* sequences, void* plan) = nullptr;
  void (*plan_expanded)(const ExpandedShape&, const AttentionSequence* sequences, int64_t num_sequences,
                        void* plan) = nullptr;

  void (*embedding)(const EmbeddingArgs&, const Execution&) = nullptr;
  void (*rms_norm)(const RmsNormArgs&, const Execution&) = nullptr;
  void (*add_rms_norm)(const AddRmsNormArgs&, const Execution&) = nullptr;
  void (*add)(const AddArgs&, const Execution&) = nullptr;
  void (*linear)(const LinearArgs&, const Execution&) = nullptr;
  void (*head_linear)(const HeadLinearArgs&, const Execution&) = nullptr;
  void (*grouped_linear)(const GroupedLinearArgs&, const Execution&) = nullptr;
  void (*swiglu)(const SwiGluArgs&, const Execution&) = nullptr;
  // Null: callers call the three steps.
  void (*feed_forward)(const FeedForwardArgs&, const Execution&) = nullptr;
  void (*grouped_feed_forward)(const GroupedFeedForwardArgs&, const Execution&) = nullptr;
  void (*rope)(const RopeArgs&, const Execution&) = nullptr;
  void (*kv_write)(const KvWriteArgs&, const Execution&) = nullptr;
  // Null: PrepareMla (kernels/api/mla_prepare.h) calls the three steps.
  void (*mla_prepare)(const MlaPrepareArgs&, const Execution&) = nullptr;
  void (*mla_attention)(const MlaAttentionArgs&, const Execution&) = nullptr;
  void (*expanded_attention)(const ExpandedAttentionArgs&, const Execution&) = nullptr;
  // Null: models with grouped-query attention are refused.
  void (*gqa_attention)(const GqaAttentionArgs&, const Execution&) = nullptr;
  void (*gate)(const GateArgs&, const Execution&) = nullptr;
  void (*group_by_expert)(const GroupByExpertArgs&, const Execution&) = nullptr;
  void (*combine)(const CombineArgs&, const Execution&) = nullptr;
  void (*copy_rows)(const CopyRowsArgs&, const Execution&) = nullptr;
  void (*plan_dispatch)(const PlanDispatchArgs&, const Execution&) = nullptr;
  void (*pack_dispatch)(const PackDispatchArgs&, const Execution&) = nullptr;
  void (*unpack_dispatch)(const UnpackDispatchArgs&, const Execution&) = nullptr;
  // Null: ranks sum and exchange rows through their communicator.
  void (*peer_sum)(const PeerSumArgs&, const Execution&) = nullptr;
  void (*peer_add_rms_norm)(const PeerAddRmsNormArgs&, const Execution&) = nullptr;
  void (*peer_exchange)(const PeerExchangeArgs&, const Execution&) = nullptr;
  void (*adjust_logits)(const AdjustLogitsArgs&, const Execution&) = nullptr;
  void (*mask_logits)(const MaskLogitsArgs&, const Execution&) = nullptr;
  void (*sample)(const SampleArgs&, const Execution&) = nullptr;
  void (*logprobs)(const LogprobsArgs&, const Execution&) = nullptr;
  void (*find_non_finite)(const FindNonFiniteArgs&, const Execution&) = nullptr;
};

// `operations` with `needs` filled in.
constexpr KernelSet WithNeeds(const KernelNeeds& needs, KernelSet operations) {
  static_cast<KernelNeeds&>(operations) = needs;
  return operations;
}

}  // namespace deeprack::kernels
