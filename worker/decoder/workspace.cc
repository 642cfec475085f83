#include "worker/decoder/workspace.h"

#include <algorithm>

#include "base/checked.h"
#include "model/shard/shard.h"
#include "worker/device/arena.h"

namespace deeprack::worker {
namespace {

using kernels::Matrix;

// Rows whose logits are changed at a time before a draw: few requests ask for it, and a row is large.
constexpr int64_t kMostAdjustedRows = 32;

// Hands out consecutive pieces; without a base it only counts.
class Carver {
 public:
  explicit Carver(std::byte* base) : base_(base) {}

  template <class T>
  T* Take(int64_t count) {
    std::byte* piece = base_ == nullptr ? nullptr : base_ + used_;
    used_ += RoundUp(count * static_cast<int64_t>(sizeof(T)), kArenaAlignment);
    return reinterpret_cast<T*>(piece);
  }

  Matrix TakeMatrix(DType type, int64_t rows, int64_t cols) {
    std::byte* data = Take<std::byte>(rows * cols * static_cast<int64_t>(SizeOf(type)));
    return {.data = data, .type = type, .rows = rows, .cols = cols, .stride = cols};
  }

  int64_t used() const { return used_; }

 private:
  std::byte* const base_;
  int64_t used_ = 0;
};

class WorkspaceCutter {
 public:
  WorkspaceCutter(const WorkspaceSpec& spec, std::byte* base)
      : spec_(spec),
        config_(spec.config),
        carver_(base),
        at_(model::CoordinatesOf(spec.layout, spec.rank)),
        tokens_(spec.limits.max_step_tokens),
        stage_tokens_(tokens_ * spec.layout.dp) {}

  Workspace Cut() {
    const auto [begin, end] = model::LayersOfStage(config_, spec_.layout, at_.pp_rank);
    const bool dense = !config_.is_moe_layer(begin);
    const bool moe = config_.is_moe_layer(end - 1);
    CutCommon(moe);
    CutAttention();
    CutFeedForward(dense, moe);
    if (moe) CutExperts();
    if (moe && spec_.expert_exchange == ExpertExchange::kAllToAll) CutDispatch();
    if (at_.pp_rank == spec_.layout.pp - 1) CutLogits();
    return workspace_;
  }

  int64_t used() const { return carver_.used(); }

 private:
  Matrix Compute(int64_t rows, int64_t cols) { return carver_.TakeMatrix(spec_.compute, rows, cols); }
  Matrix Fp32(int64_t rows, int64_t cols) { return carver_.TakeMatrix(DType::kF32, rows, cols); }

  void CutCommon(bool moe) {
    const int64_t angles = spec_.limits.max_context * (config_.qk_rope_head_dim / 2);
    workspace_.rope_cos = carver_.Take<float>(angles);
    workspace_.rope_sin = carver_.Take<float>(angles);
    workspace_.residual = Compute(tokens_, config_.hidden_size);
    workspace_.normed = Compute(tokens_, config_.hidden_size);
    const bool sees_stage = moe && spec_.expert_exchange == ExpertExchange::kReplicated;
    workspace_.partial = Fp32(sees_stage ? stage_tokens_ : tokens_, config_.hidden_size);
    if (sees_stage && spec_.layout.dp > 1) workspace_.gathered = Compute(stage_tokens_, config_.hidden_size);
  }

  void CutAttention() {
    const int64_t heads = config_.num_attention_heads / spec_.layout.tp;
    if (!config_.has_latent_attention()) return CutGroupedQueryAttention(heads);
    if (config_.q_lora_rank) workspace_.q_a = Compute(tokens_, *config_.q_lora_rank);
    workspace_.q = Compute(tokens_, heads * config_.qk_head_dim());
    workspace_.kv_a = Compute(tokens_, config_.kv_lora_rank + config_.qk_rope_head_dim);
    workspace_.q_latent = Compute(tokens_, heads * config_.kv_lora_rank);
    workspace_.attended = Compute(tokens_, heads * config_.kv_lora_rank);
    workspace_.values = Compute(tokens_, heads * config_.v_head_dim);
  }

  void CutGroupedQueryAttention(int64_t heads) {
    const auto [begin, end] = model::KeyValueHeadsOfRank(config_, spec_.layout, at_.tp_rank);
    workspace_.q = Compute(tokens_, heads * config_.qk_head_dim());
    workspace_.k = Compute(tokens_, (end - begin) * config_.qk_head_dim());
    workspace_.v = Compute(tokens_, (end - begin) * config_.v_head_dim);
    workspace_.values = Compute(tokens_, heads * config_.v_head_dim);
  }

  void CutFeedForward(bool dense, bool moe) {
    const int64_t shared =
        moe ? config_.n_shared_experts * config_.moe_intermediate_size / spec_.layout.tp : 0;
    const int64_t plain = dense ? config_.intermediate_size / spec_.layout.tp : 0;
    const int64_t width = RoundUp(std::max(shared, plain), model::kPanelRows);
    workspace_.gate_up = Compute(tokens_, 2 * width);
    workspace_.activated = Compute(tokens_, width);
    if (shared > 0) workspace_.shared_out = Fp32(tokens_, config_.hidden_size);
  }

  void CutExperts() {
    const int64_t choices = tokens_ * config_.num_experts_per_tok;
    const int64_t experts = config_.n_routed_experts / spec_.layout.ep;
    const int64_t pairs = tokens_ * std::min(config_.num_experts_per_tok, experts);
    const int64_t width =
        RoundUp(config_.moe_intermediate_size / spec_.layout.expert_tp(), model::kPanelRows);
    workspace_.router_logits = carver_.Take<float>(tokens_ * config_.n_routed_experts);
    workspace_.expert_ids = carver_.Take<int32_t>(choices);
    workspace_.expert_weights = carver_.Take<float>(choices);
    workspace_.expert_offsets = carver_.Take<int32_t>(experts + 1);
    workspace_.row_index = carver_.Take<int32_t>(choices);
    workspace_.pair_to_row = carver_.Take<int32_t>(choices);
    workspace_.expert_gate_up = Compute(pairs, 2 * width);
    workspace_.expert_activated = Compute(pairs, width);
    workspace_.expert_out = Fp32(pairs, config_.hidden_size);
  }

  void CutDispatch() {
    const int64_t element = static_cast<int64_t>(SizeOf(spec_.compute));
    const int64_t routing =
        config_.num_experts_per_tok * static_cast<int64_t>(sizeof(int32_t) + sizeof(float));
    const int64_t groups = std::min<int64_t>(config_.num_experts_per_tok, spec_.layout.ep);
    const int64_t share = CeilDiv(tokens_, spec_.layout.tp);
    // Whole cache lines, so that the activations of every row are aligned.
    workspace_.dispatch_row_bytes = RoundUp(config_.hidden_size * element + routing, kArenaAlignment);
    workspace_.dispatch_fanout = groups * spec_.layout.expert_tp();
    const int64_t sent = share * workspace_.dispatch_fanout;
    workspace_.dispatch_send = carver_.Take<std::byte>(sent * workspace_.dispatch_row_bytes);
    workspace_.dispatch_receive = carver_.Take<std::byte>(stage_tokens_ * workspace_.dispatch_row_bytes);
    workspace_.dispatch_index = carver_.Take<int32_t>(sent);
    workspace_.dispatch_rows_to = carver_.Take<int64_t>(spec_.layout.stage_size());
    workspace_.dispatch_counts = carver_.Take<int64_t>(spec_.layout.stage_size() * spec_.layout.stage_size());
    workspace_.dispatch_ones = carver_.Take<float>(sent);
    workspace_.expert_sums = Fp32(stage_tokens_, config_.hidden_size);
    workspace_.returned = Fp32(sent, config_.hidden_size);
    workspace_.share_out = Fp32(share, config_.hidden_size);
  }

  void CutLogits() {
    const int64_t rows = std::min(tokens_, spec_.limits.max_sequences);
    workspace_.head_rows = Compute(rows, config_.hidden_size);
    workspace_.logits = Fp32(rows, config_.vocab_size);
    workspace_.vocab_block = CeilDiv(config_.vocab_size, spec_.layout.tp);
    if (spec_.layout.tp > 1) {
      workspace_.logits_own = Fp32(rows, workspace_.vocab_block);
      workspace_.logits_gathered = carver_.Take<float>(spec_.layout.tp * rows * workspace_.vocab_block);
    }
    workspace_.adjusted_logits = Fp32(std::min(rows, kMostAdjustedRows), config_.vocab_size);
  }

  const WorkspaceSpec& spec_;
  const model::ModelConfig& config_;
  Carver carver_;
  const model::RankCoordinates at_;
  const int64_t tokens_;
  const int64_t stage_tokens_;
  Workspace workspace_;
};

}  // namespace

int64_t WorkspaceBytes(const WorkspaceSpec& spec) {
  WorkspaceCutter cutter(spec, nullptr);
  cutter.Cut();
  return cutter.used();
}

Workspace CarveWorkspace(const WorkspaceSpec& spec, std::byte* base) {
  return WorkspaceCutter(spec, base).Cut();
}

}  // namespace deeprack::worker
