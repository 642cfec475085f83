// Every operation a backend offers, as one table. The decoder holds a table and an Execution and knows no
// backend. A row's result never depends on the other rows of a call (batch invariance); tests/unit runs one
// suite over all tables.
//
// The relative errors that the operations' headers state: the largest difference in a row from the fp64
// result, over the root mean square of that row. The CPU tables agree with each other bit for bit, but for
// matrix products and attention of bf16 rows in avx512_bf16, which adds pairs.
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

// Its needs say which memory it is to be given.
struct KernelSet : KernelNeeds {
  std::string_view name;  // "generic", "avx2", "avx512", "avx512_bf16", "cuda-plain", "cuda-sm90"
  // What is cut into work on the host: the plans of latent attention (KernelNeeds::mla_plan_bytes), made from
  // the host's view of the sequences (block tables: the device's) into memory that is then copied to the
  // device, and those of expanded attention. Null: it needs none.
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
  // Null where a backend gains nothing by it: its three steps are called.
  void (*feed_forward)(const FeedForwardArgs&, const Execution&) = nullptr;
  void (*grouped_feed_forward)(const GroupedFeedForwardArgs&, const Execution&) = nullptr;
  void (*rope)(const RopeArgs&, const Execution&) = nullptr;
  void (*kv_write)(const KvWriteArgs&, const Execution&) = nullptr;
  // Null where it is several operations: kernels/api/mla_prepare.h calls the one or the others.
  void (*mla_prepare)(const MlaPrepareArgs&, const Execution&) = nullptr;
  void (*mla_attention)(const MlaAttentionArgs&, const Execution&) = nullptr;
  void (*expanded_attention)(const ExpandedAttentionArgs&, const Execution&) = nullptr;
  // Null where a backend lacks it: such a backend serves no model with grouped-query attention.
  void (*gqa_attention)(const GqaAttentionArgs&, const Execution&) = nullptr;
  void (*gate)(const GateArgs&, const Execution&) = nullptr;
  void (*group_by_expert)(const GroupByExpertArgs&, const Execution&) = nullptr;
  void (*combine)(const CombineArgs&, const Execution&) = nullptr;
  void (*copy_rows)(const CopyRowsArgs&, const Execution&) = nullptr;
  void (*plan_dispatch)(const PlanDispatchArgs&, const Execution&) = nullptr;
  void (*pack_dispatch)(const PackDispatchArgs&, const Execution&) = nullptr;
  void (*unpack_dispatch)(const UnpackDispatchArgs&, const Execution&) = nullptr;
  // Null where cards do not reach each other's memory.
  void (*peer_sum)(const PeerSumArgs&, const Execution&) = nullptr;
  void (*peer_add_rms_norm)(const PeerAddRmsNormArgs&, const Execution&) = nullptr;
  void (*peer_exchange)(const PeerExchangeArgs&, const Execution&) = nullptr;
  void (*adjust_logits)(const AdjustLogitsArgs&, const Execution&) = nullptr;
  void (*sample)(const SampleArgs&, const Execution&) = nullptr;
  void (*logprobs)(const LogprobsArgs&, const Execution&) = nullptr;
};

// The operations of a set, with what they need.
constexpr KernelSet WithNeeds(const KernelNeeds& needs, KernelSet operations) {
  static_cast<KernelNeeds&>(operations) = needs;
  return operations;
}

}  // namespace deeprack::kernels
