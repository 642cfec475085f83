#include "sizing/step_buffers.h"

#include <algorithm>
#include <utility>

#include "base/checked.h"
#include "base/rounded_rows.h"
#include "base/weight_geometry.h"
#include "model/shard/shard.h"

namespace deeprack::sizing {
namespace {

// Rows whose logits sampling changes at a time. Few requests need it, and a row is large.
constexpr int64_t kMostAdjustedRows = 32;

class BufferList {
 public:
  BufferList(const RankSpec& spec, bool rounds)
      : spec_(spec),
        config_(spec.config),
        rounds_(rounds),
        at_(spec.coordinates()),
        tokens_(spec.limits.max_step_tokens),
        stage_tokens_(tokens_ * spec.layout.dp) {
    const auto [begin, end] = spec.layers();
    const bool dense = !config_.is_moe_layer(begin);
    const bool moe =
        config_.is_moe_layer(end - 1) || (spec.has_mtp() && config_.is_moe_layer(config_.num_hidden_layers));
    AddCommon(moe);
    AddAttention();
    AddFeedForward(dense, moe);
    if (moe) AddExperts();
    if (moe && spec_.expert_exchange == model::ExpertExchange::kAllToAll) AddDispatch();
    if (spec.has_mtp()) {
      Compute(Buffer::kMtpResidual, tokens_, config_.hidden_size);
      Compute(Buffer::kMtpInput, tokens_, 2 * config_.hidden_size);
    }
    if (spec.is_last_stage()) AddLogits();
  }

  std::vector<BufferShape> Take() { return std::move(buffers_); }
  int64_t bytes() const { return bytes_; }

 private:
  void Add(Buffer buffer, DType type, int64_t rows, int64_t cols) {
    buffers_.push_back({.buffer = buffer, .type = type, .rows = rows, .cols = cols, .offset = bytes_});
    bytes_ += RoundUp(rows * cols * static_cast<int64_t>(SizeOf(type)), kWeightAlignment);
  }
  void Compute(Buffer buffer, int64_t rows, int64_t cols) { Add(buffer, spec_.compute, rows, cols); }
  void Fp32(Buffer buffer, int64_t rows, int64_t cols) { Add(buffer, DType::kF32, rows, cols); }
  void Int32(Buffer buffer, int64_t rows, int64_t cols) { Add(buffer, DType::kI32, rows, cols); }
  void Rounded(Buffer buffer, int64_t cols) {
    if (rounds_) Add(buffer, DType::kU8, 1, RoundedRowsLayoutOf(tokens_, cols).bytes);
  }

  void AddCommon(bool moe) {
    Fp32(Buffer::kRopeCos, spec_.limits.max_context, config_.qk_rope_head_dim / 2);
    Fp32(Buffer::kRopeSin, spec_.limits.max_context, config_.qk_rope_head_dim / 2);
    Compute(Buffer::kResidual, tokens_, config_.hidden_size);
    Compute(Buffer::kNormed, tokens_, config_.hidden_size);
    Rounded(Buffer::kNormedRounded, config_.hidden_size);
    const bool sees_stage = moe && spec_.expert_exchange == model::ExpertExchange::kReplicated;
    Fp32(Buffer::kPartial, sees_stage ? stage_tokens_ : tokens_, config_.hidden_size);
    if (sees_stage && spec_.layout.dp > 1) Compute(Buffer::kGathered, stage_tokens_, config_.hidden_size);
  }

  void AddAttention() {
    const int64_t heads = config_.num_attention_heads / spec_.layout.tp;
    if (config_.q_lora_rank) {
      Compute(Buffer::kQA, tokens_, *config_.q_lora_rank);
      Rounded(Buffer::kQARounded, *config_.q_lora_rank);
    }
    Compute(Buffer::kQ, tokens_, heads * config_.qk_head_dim());
    if (config_.has_latent_attention()) {
      Compute(Buffer::kKvA, tokens_, config_.kv_lora_rank + config_.qk_rope_head_dim);
      Compute(Buffer::kQLatent, tokens_, heads * config_.kv_lora_rank);
      Compute(Buffer::kAttended, tokens_, heads * config_.kv_lora_rank);
    } else {
      const auto [begin, end] = model::KeyValueHeadsOfRank(config_, spec_.layout, at_.tp_rank);
      Compute(Buffer::kK, tokens_, (end - begin) * config_.qk_head_dim());
      Compute(Buffer::kV, tokens_, (end - begin) * config_.v_head_dim);
    }
    Compute(Buffer::kValues, tokens_, heads * config_.v_head_dim);
  }

  void AddFeedForward(bool dense, bool moe) {
    const int64_t shared =
        moe ? config_.n_shared_experts * config_.moe_intermediate_size / spec_.layout.tp : 0;
    const int64_t plain = dense ? config_.intermediate_size / spec_.layout.tp : 0;
    const int64_t width = RoundUp(std::max(shared, plain), kPanelRows);
    Compute(Buffer::kGateUp, tokens_, 2 * width);
    Compute(Buffer::kActivated, tokens_, width);
    if (shared > 0) Fp32(Buffer::kSharedOut, tokens_, config_.hidden_size);
  }

  void AddExperts() {
    const int64_t chosen = config_.num_experts_per_tok;
    const int64_t experts = config_.n_routed_experts / spec_.layout.ep;
    const int64_t pairs = tokens_ * std::min(chosen, experts);
    const int64_t width = RoundUp(config_.moe_intermediate_size / spec_.layout.expert_tp(), kPanelRows);
    Fp32(Buffer::kRouterLogits, tokens_, config_.n_routed_experts);
    Int32(Buffer::kExpertIds, tokens_, chosen);
    Fp32(Buffer::kExpertWeights, tokens_, chosen);
    Int32(Buffer::kExpertOffsets, 1, experts + 1);
    Int32(Buffer::kRowIndex, tokens_, chosen);
    Int32(Buffer::kPairToRow, tokens_, chosen);
    Compute(Buffer::kExpertGateUp, pairs, 2 * width);
    Compute(Buffer::kExpertActivated, pairs, width);
    Fp32(Buffer::kExpertOut, pairs, config_.hidden_size);
  }

  void AddDispatch() {
    const int64_t row_bytes = DispatchRowBytes(spec_);
    const int64_t groups = std::min<int64_t>(config_.num_experts_per_tok, spec_.layout.ep);
    const int64_t fanout = groups * spec_.layout.expert_tp();
    const int64_t share = CeilDiv(tokens_, spec_.layout.tp);
    Add(Buffer::kDispatchSend, DType::kU8, share * fanout, row_bytes);
    Add(Buffer::kDispatchReceive, DType::kU8, stage_tokens_, row_bytes);
    Int32(Buffer::kDispatchIndex, share, fanout);
    Add(Buffer::kDispatchRowsTo, DType::kI64, 1, spec_.layout.stage_size());
    Add(Buffer::kDispatchCounts, DType::kI64, spec_.layout.stage_size(), spec_.layout.stage_size());
    Fp32(Buffer::kDispatchOnes, share, fanout);
    Fp32(Buffer::kExpertSums, stage_tokens_, config_.hidden_size);
    Fp32(Buffer::kReturned, share * fanout, config_.hidden_size);
    Fp32(Buffer::kShareOut, share, config_.hidden_size);
  }

  void AddLogits() {
    const int64_t rows = LogitRows(spec_);
    const int64_t own = model::VocabRowsPerRank(config_, spec_.layout);
    Compute(Buffer::kHeadRows, rows, config_.hidden_size);
    Fp32(Buffer::kLogits, rows, config_.vocab_size);
    if (spec_.layout.tp > 1) {
      Fp32(Buffer::kLogitsOwn, rows, own);
      Fp32(Buffer::kLogitsGathered, spec_.layout.tp * rows, own);
    }
    Fp32(Buffer::kAdjustedLogits, std::min(rows, kMostAdjustedRows), config_.vocab_size);
  }

  const RankSpec& spec_;
  const model::ModelConfig& config_;
  const bool rounds_;  // products share rounded rows
  const model::RankCoordinates at_;
  const int64_t tokens_;
  const int64_t stage_tokens_;
  std::vector<BufferShape> buffers_;
  int64_t bytes_ = 0;
};

}  // namespace

int64_t LogitRows(const RankSpec& spec) {
  const int64_t drafts = spec.has_mtp() ? spec.speculative_tokens : 0;
  return std::min(spec.limits.max_step_tokens, spec.limits.max_sequences * (1 + drafts));
}

int64_t DispatchRowBytes(const RankSpec& spec) {
  return DispatchRowBytes(spec.config, spec.config.hidden_size * static_cast<int64_t>(SizeOf(spec.compute)));
}

int64_t DispatchRowBytes(const model::ModelConfig& config, int64_t activation_bytes) {
  const int64_t routing = config.num_experts_per_tok * static_cast<int64_t>(sizeof(int32_t) + sizeof(float));
  return RoundUp(activation_bytes + routing, kWeightAlignment);
}

std::vector<BufferShape> WorkspaceBuffers(const RankSpec& spec, const kernels::KernelNeeds& kernels) {
  return BufferList(spec, kernels.reads_rounded != nullptr).Take();
}

int64_t WorkspaceBytes(const RankSpec& spec, const kernels::KernelNeeds& kernels) {
  return BufferList(spec, kernels.reads_rounded != nullptr).bytes();
}

}  // namespace deeprack::sizing
