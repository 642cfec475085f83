// Drafts of the next tokens of sequences, made by the MTP layer after a step's tokens are drawn.
//
// Draft d (from 0) of a sequence whose last verified row is at position p is the token at position p + 2 + d;
// the token at p + 1 is drawn already. Draft 0 comes from the layer's run over the whole batch, which also
// fills the layer's KV cache; each later draft from a run on the layer's own output. A draft is drawn with
// the sequence's draw at the draft's position, so it has the noise of the token that verifies it.
//
// Calls of a step, in order, after Decoder::Forward and the step's draws: Plan, Run; then the tokens are in
// the device's memory, and after Fetch and Device::Synchronize in the host's. Every rank of the last stage
// calls, also for a dp group without sequences, and every tp rank gets the same tokens.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "base/ids.h"
#include "kernels/api/sampling.h"
#include "sizing/rank_spec.h"
#include "worker/decoder/attention_planner.h"
#include "worker/decoder/batch.h"
#include "worker/decoder/decoder.h"
#include "worker/device/device.h"
#include "worker/device/staged_area.h"

namespace deeprack::worker {

struct DraftRequest {
  int32_t batch_row = 0;  // of its last verified row
  int32_t position = 0;   // of that row
  int32_t drafts = 0;     // 1 to RankSpec::speculative_tokens
  // The block table: covers positions up to position + drafts - 1. Empty: the request is padding. Its drafts
  // are noise, and it writes no KV entry.
  std::span<const BlockId> blocks;
  kernels::Draw draw;  // `position` is not read
};

class Drafter {
 public:
  // `inputs` and `results`: StepAreas::draft_inputs and draft_results. All references outlive the drafter.
  Drafter(const sizing::RankSpec& spec, Decoder& decoder, const AttentionPlanner& planner, Device& device,
          StagedArea& inputs, StagedArea& results);

  // Lays out the runs for at most max_sequences requests. requests_of_group[d][g]: the requests of dp group g
  // with more than d drafts, the same on all ranks of the stage; its size is the most drafts of a request.
  // next_tokens: the token after the position of each row of the batch that Run is given. Rows that are not
  // verified may have any token of the vocabulary.
  void Plan(std::span<const DraftRequest> requests,
            const std::vector<std::vector<int64_t>>& requests_of_group, std::span<const TokenId> next_tokens);

  // Queues the layer over `batch`, the batch of the last Decoder::Forward, then the drafts. Overwrites the
  // decoder's logits. Errors are those of the communicator.
  absl::Status Run(const Batch& batch);

  // Queues the copy of the tokens to the host.
  absl::Status Fetch() { return results_.Fetch(); }
  // Draft d of a request, by its index.
  TokenId TokenOf(size_t request, int32_t d) const;
  // In the device's memory: draft d of every request that has it, in the order of slots.
  const TokenId* device_tokens(int32_t d) const { return tokens_[static_cast<size_t>(d)].device; }
  // The request's index in device_tokens.
  int32_t SlotOf(size_t request) const { return slot_of_request_[request]; }

 private:
  // Lays out the batch for draft d >= 1, of the first `rows` slots.
  void PlanRepeat(std::span<const DraftRequest> requests, int32_t d, int64_t rows);
  absl::Status DrawDraft(int32_t d, const int32_t* rows);

  const sizing::RankSpec& spec_;
  Decoder& decoder_;
  const AttentionPlanner& planner_;
  Device& device_;
  StagedArea& inputs_;
  StagedArea& results_;

  const TokenId* next_tokens_ = nullptr;  // in the device's memory

  // The step under way. Requests are in slots by descending number of drafts, so those with more than d
  // drafts have the first slots.
  std::vector<int32_t> request_of_slot_;
  std::vector<int32_t> slot_of_request_;
  std::vector<const BlockId*> table_of_slot_;  // in the device's memory
  const int32_t* rows_ = nullptr;              // [slots]: batch rows, in the device's memory
  std::vector<Staged<TokenId>> tokens_;        // by draft
  std::vector<Staged<kernels::Draw>> draws_;   // by draft
  std::vector<int64_t> slots_of_draft_;        // by draft: how many requests have it
  std::vector<Batch> repeats_;                 // by draft; the first is empty
};

}  // namespace deeprack::worker
