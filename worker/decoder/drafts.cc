#include "worker/decoder/drafts.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/checked.h"
#include "base/status_macros.h"

namespace deeprack::worker {

Drafter::Drafter(const sizing::RankSpec& spec, Decoder& decoder, const AttentionPlanner& planner,
                 Device& device, StagedArea& inputs, StagedArea& results)
    : spec_(spec),
      decoder_(decoder),
      planner_(planner),
      device_(device),
      inputs_(inputs),
      results_(results) {}

void Drafter::Plan(std::span<const DraftRequest> requests,
                   const std::vector<std::vector<int64_t>>& requests_of_group,
                   std::span<const TokenId> next_tokens) {
  inputs_.Clear();
  results_.Clear();
  const Staged<TokenId> next = inputs_.Take<TokenId>(std::ssize(next_tokens));
  std::copy(next_tokens.begin(), next_tokens.end(), next.host);
  next_tokens_ = next.device;
  request_of_slot_.resize(requests.size());
  std::iota(request_of_slot_.begin(), request_of_slot_.end(), 0);
  std::stable_sort(request_of_slot_.begin(), request_of_slot_.end(), [&](int32_t a, int32_t b) {
    return requests[static_cast<size_t>(a)].drafts > requests[static_cast<size_t>(b)].drafts;
  });
  slot_of_request_.resize(requests.size());
  for (size_t slot = 0; slot < requests.size(); ++slot) {
    slot_of_request_[static_cast<size_t>(request_of_slot_[slot])] = static_cast<int32_t>(slot);
  }
  const auto in_slot = [&](size_t slot) -> const DraftRequest& {
    return requests[static_cast<size_t>(request_of_slot_[slot])];
  };

  const Staged<int32_t> rows = inputs_.Take<int32_t>(std::ssize(requests));
  table_of_slot_.clear();
  for (size_t slot = 0; slot < requests.size(); ++slot) {
    const DraftRequest& request = in_slot(slot);
    rows.host[slot] = request.batch_row;
    if (request.drafts < 2) continue;  // the batch's run has its own tables
    const int64_t pages = CeilDiv(request.position + request.drafts, kPageTokens);
    DR_CHECK(request.drafts <= spec_.speculative_tokens);
    DR_CHECK(request.blocks.empty() || pages <= std::ssize(request.blocks));
    const Staged<BlockId> table = inputs_.Take<BlockId>(pages);
    if (request.blocks.empty())
      std::fill_n(table.host, pages, BlockId{0});
    else
      std::copy_n(request.blocks.begin(), pages, table.host);
    table_of_slot_.push_back(table.device);
  }
  rows_ = rows.device;

  tokens_.clear();
  draws_.clear();
  slots_of_draft_.clear();
  repeats_.assign(requests_of_group.size(), Batch{});
  const auto group = static_cast<size_t>(spec_.coordinates().dp_rank);
  for (size_t d = 0; d < requests_of_group.size(); ++d) {
    const int64_t slots = requests_of_group[d][group];
    slots_of_draft_.push_back(slots);
    tokens_.push_back(results_.Take<TokenId>(slots));
    draws_.push_back(inputs_.Take<kernels::Draw>(slots));
    for (int64_t slot = 0; slot < slots; ++slot) {
      const DraftRequest& request = in_slot(static_cast<size_t>(slot));
      DR_CHECK(request.drafts > static_cast<int32_t>(d));
      draws_[d].host[slot] = request.draw;
      draws_[d].host[slot].position = static_cast<uint64_t>(request.position) + 2 + d;
    }
    repeats_[d].rows_of_group = requests_of_group[d];
    if (d > 0) PlanRepeat(requests, static_cast<int32_t>(d), slots);
  }
}

void Drafter::PlanRepeat(std::span<const DraftRequest> requests, int32_t d, int64_t rows) {
  Batch& batch = repeats_[static_cast<size_t>(d)];
  batch.rows = batch.absorbed_rows = batch.num_sequences = rows;
  const Staged<int32_t> positions = inputs_.Take<int32_t>(rows);
  const Staged<int64_t> slots = inputs_.Take<int64_t>(rows);
  const auto sequences = inputs_.Take<kernels::AttentionSequence>(rows);
  const Staged<int32_t> row_count = inputs_.Take<int32_t>(1);
  for (int64_t row = 0; row < rows; ++row) {
    const DraftRequest& request = requests[static_cast<size_t>(request_of_slot_[static_cast<size_t>(row)])];
    const int32_t position = request.position + d;
    positions.host[row] = position;
    slots.host[row] = request.blocks.empty() ? -1
                                             : request.blocks[static_cast<size_t>(position / kPageTokens)] *
                                                       int64_t{kPageTokens} +
                                                   position % kPageTokens;
    sequences.host[row] = {.first_row = static_cast<int32_t>(row),
                           .rows = 1,
                           .first_position = position,
                           .block_table = table_of_slot_[static_cast<size_t>(row)]};
  }
  *row_count.host = static_cast<int32_t>(rows);
  batch.token_ids = tokens_[static_cast<size_t>(d) - 1].device;
  batch.positions = positions.device;
  batch.slots = slots.device;
  batch.sequences = sequences.device;
  batch.host_sequences = sequences.host;
  batch.row_count = row_count.device;
  batch.attention_shape = planner_.ShapeOf(rows, rows, 1);
  if (const int64_t bytes = planner_.BytesOf(batch.attention_shape); bytes > 0) {
    const Staged<std::byte> plan = inputs_.Take<std::byte>(bytes);
    planner_.Plan(batch.attention_shape, sequences.host, plan.host);
    batch.attention_plan = plan.device;
    batch.host_attention_plan = plan.host;
  }
}

absl::Status Drafter::Run(const Batch& batch) {
  DR_RETURN_IF_ERROR(inputs_.Send());
  DR_RETURN_IF_ERROR(decoder_.ForwardMtp(batch, next_tokens_));
  for (size_t d = 0; d < repeats_.size(); ++d) {
    if (d > 0) DR_RETURN_IF_ERROR(decoder_.RepeatMtp(repeats_[d], d == 1 ? rows_ : nullptr));
    DR_RETURN_IF_ERROR(DrawDraft(static_cast<int32_t>(d), d == 0 ? rows_ : nullptr));
  }
  return absl::OkStatus();
}

absl::Status Drafter::DrawDraft(int32_t d, const int32_t* rows) {
  const auto draft = static_cast<size_t>(d);
  DR_ASSIGN_OR_RETURN(const kernels::Matrix logits, decoder_.MtpLogits(rows, slots_of_draft_[draft]));
  if (logits.rows == 0) return absl::OkStatus();
  device_.kernels().sample({.logits = logits, .draws = draws_[draft].device, .tokens = tokens_[draft].device},
                           device_.execution());
  return absl::OkStatus();
}

TokenId Drafter::TokenOf(size_t request, int32_t d) const {
  return tokens_[static_cast<size_t>(d)].host[slot_of_request_[request]];
}

}  // namespace deeprack::worker
