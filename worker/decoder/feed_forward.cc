// SwiGLU feed-forward, routing, and the experts that this rank holds.
#include <algorithm>

#include "base/checked.h"
#include "base/status_macros.h"
#include "worker/decoder/decoder.h"
#include "worker/decoder/matrix_view.h"

namespace deeprack::worker {
namespace {

using kernels::Matrix;

// The buffers of one SwiGLU: gate begins at column 0, up at column `width`. `width` is `intermediate` padded
// to panels, as in the stacked weight. The padding is never read.
struct SwiGluBuffers {
  Matrix product;    // [rows, width + intermediate]: the product with the stacked weight
  Matrix gate_up;    // [rows, 2 * width]
  Matrix activated;  // [rows, width]
  Matrix inner;      // [rows, intermediate]: the columns of `activated` without padding

  SwiGluBuffers(const Matrix& gate_up_buffer, const Matrix& activated_buffer, int64_t rows,
                int64_t intermediate) {
    const int64_t width = RoundUp(intermediate, kPanelRows);
    gate_up = gate_up_buffer;
    gate_up.rows = rows;
    gate_up.cols = gate_up.stride = 2 * width;
    product = ColumnsOf(gate_up, 0, width + intermediate);
    activated = activated_buffer;
    activated.rows = rows;
    activated.cols = activated.stride = width;
    inner = ColumnsOf(activated, 0, intermediate);
  }
};

void Run(const kernels::FeedForwardArgs& args, const kernels::KernelSet& kernels,
         const kernels::Execution& execution) {
  if (kernels.feed_forward != nullptr) return kernels.feed_forward(args, execution);
  kernels.linear(args.gate_up, execution);
  kernels.swiglu(args.swiglu, execution);
  kernels.linear(args.down, execution);
}

void Run(const kernels::GroupedFeedForwardArgs& args, const kernels::KernelSet& kernels,
         const kernels::Execution& execution) {
  if (kernels.grouped_feed_forward != nullptr) return kernels.grouped_feed_forward(args, execution);
  kernels.grouped_linear(args.gate_up, execution);
  kernels.swiglu(args.swiglu, execution);
  kernels.grouped_linear(args.down, execution);
}

}  // namespace

void Decoder::FeedForward(const FeedForwardWeights& weights, const Matrix& out) {
  const SwiGluBuffers buffers(ws_.gate_up, ws_.activated, out.rows, weights.intermediate);
  Run({.gate_up = {.x = FirstRows(ws_.normed, out.rows),
                   .weight = weights.gate_up,
                   .out = buffers.product,
                   .rounded = NormedFor(weights)},
       .swiglu = {.gate_up = buffers.gate_up, .out = buffers.activated},
       .down = {.x = buffers.inner, .weight = weights.down, .out = out}},
      kernels_, execution_);
}

Decoder::BlockOutput Decoder::DenseFeedForward(const FeedForwardWeights& weights, int64_t rows) {
  const Matrix partial = FirstRows(ws_.partial, rows);
  if (rows > 0) FeedForward(weights, partial);
  return {partial, /*is_part=*/true};
}

void Decoder::Route(const MoeWeights& moe, const Matrix& x, const int32_t* row_count) {
  const int64_t experts = config_.n_routed_experts;
  const Matrix logits = {
      .data = ws_.router_logits, .type = DType::kF32, .rows = x.rows, .cols = experts, .stride = experts};
  kernels_.linear({.x = x, .weight = moe.router, .out = logits}, execution_);
  kernels_.gate({.logits = ws_.router_logits,
                 .bias = moe.router_bias,
                 .m = x.rows,
                 .experts = experts,
                 .n_group = config_.n_group,
                 .topk_group = config_.topk_group,
                 .top_k = config_.num_experts_per_tok,
                 .norm_topk_prob = config_.norm_topk_prob,
                 .routed_scaling_factor = static_cast<float>(config_.routed_scaling_factor),
                 .ids = ws_.expert_ids,
                 .weights = ws_.expert_weights,
                 .row_count = row_count},
                execution_);
}

void Decoder::LocalExperts(const MoeWeights& moe, const Matrix& x, const Matrix& add, const Matrix& out) {
  const int64_t experts = static_cast<int64_t>(moe.gate_up.size());
  const int64_t top_k = config_.num_experts_per_tok;
  kernels_.group_by_expert({.ids = ws_.expert_ids,
                            .m = x.rows,
                            .top_k = top_k,
                            .expert_begin = moe.expert_begin,
                            .experts = experts,
                            .offsets = ws_.expert_offsets,
                            .row_index = ws_.row_index,
                            .pair_to_row = ws_.pair_to_row},
                           execution_);
  // Only the kernels know the number of the experts' rows. The buffers hold the largest possible number.
  const int64_t most_rows = std::min(x.rows * std::min(top_k, experts), ws_.expert_out.rows);
  const Matrix y = FirstRows(ws_.expert_out, most_rows);
  const int64_t expected_rows = CeilDiv(x.rows * top_k * experts, config_.n_routed_experts);
  const SwiGluBuffers buffers(ws_.expert_gate_up, ws_.expert_activated, most_rows, moe.intermediate);
  Run({.gate_up = {.x = x,
                   .row_index = ws_.row_index,
                   .offsets = ws_.expert_offsets,
                   .weights = moe.gate_up.data(),
                   .experts = experts,
                   .out = buffers.product,
                   .device_weights = moe.device_gate_up,
                   .expected_rows = expected_rows},
       .swiglu = {.gate_up = buffers.gate_up,
                  .out = buffers.activated,
                  .row_count = ws_.expert_offsets + experts},
       .down = {.x = buffers.inner,
                .offsets = ws_.expert_offsets,
                .weights = moe.down.data(),
                .experts = experts,
                .out = y,
                .device_weights = moe.device_down,
                .expected_rows = expected_rows}},
      kernels_, execution_);
  kernels_.combine({.y = y,
                    .pair_to_row = ws_.pair_to_row,
                    .weights = ws_.expert_weights,
                    .top_k = top_k,
                    .add = add,
                    .out = out},
                   execution_);
}

}  // namespace deeprack::worker
