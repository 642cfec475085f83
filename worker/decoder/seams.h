// Every place where the decoder meets other ranks, by name. Nothing else in the decoder communicates.
//
// Groups of a rank: its stage (tp * dp ranks), its tp group (one dp group of the stage), its dp group (the
// ranks of the stage with its tp rank). All matrices are contiguous (stride == cols), and all buffers the
// device's memory, which `world` exchanges. A seam over one rank costs nothing. Errors are the
// communicator's: DeadlineExceeded or Aborted, after which the epoch is over.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "kernels/api/matrix.h"
#include "model/layout/expert_exchange.h"
#include "model/layout/layout.h"
#include "worker/collectives/communicator.h"
#include "worker/collectives/peer/peer_group.h"
#include "worker/device/device.h"

namespace deeprack::worker {

class Seams {
 public:
  // Splits `world` (collective over it). `world` may be null when the layout has one rank; it, the device and
  // `peer_areas` outlive the seams. What areas there are serves sums over tp and exchanges over the stage
  // without the communicator, where every rank of the group reaches every other (worker/collectives/peer).
  static absl::StatusOr<std::unique_ptr<Seams>> Create(const model::Layout& layout, Rank rank,
                                                       Communicator* world, Device* device,
                                                       PeerAreas* peer_areas);

  // Sums over the tp group: vocabulary-parallel embeddings, a block's output (attention, feed-forward), this
  // with what follows, add_rms_norm of the sum (norm.x: this rank's part), or alone.
  absl::Status EmbeddingSum(const kernels::Matrix& x) { return SumOver(tp_.get(), x); }
  absl::Status BlockSumAndNorm(const kernels::AddRmsNormArgs& norm);
  absl::Status BlockSum(const kernels::Matrix& x) { return SumOver(tp_.get(), x); }

  // Replicated experts: the tokens of all dp groups (tokens_of[g] rows each, in group order) on every rank;
  // the sum of all ranks' expert outputs over the stage.
  absl::Status GatherTokens(const kernels::Matrix& own, const kernels::Matrix& all,
                            std::span<const int64_t> tokens_of);
  absl::Status ExpertsOut(const kernels::Matrix& x) { return SumOver(stage_.get(), x); }

  // All-to-all experts, over the stage. ExchangeCounts: counts[r * stage_size + c] = rows that rank r sends
  // to rank c, also in `host_counts`: waits for the device.
  absl::Status ExchangeCounts(const int64_t* rows_to, int64_t* counts, std::span<int64_t> host_counts);
  // MoE dispatch and MoE combine: rows of row_bytes each, grouped by peer in rank order.
  absl::Status MoeDispatch(const void* send, std::span<const int64_t> rows_to, void* receive,
                           std::span<const int64_t> rows_from, int64_t row_bytes);
  absl::Status MoeCombine(const void* send, std::span<const int64_t> rows_to, void* receive,
                          std::span<const int64_t> rows_from, int64_t row_bytes);

  // The same where cards reach each other's memory, for as many rows with each rank. `peers` is filled in
  // here.
  bool ExchangesAmongPeers(int64_t slots) const;
  void DispatchAmongPeers(kernels::PeerExchangeArgs args) { ExchangeAmongPeers(args); }
  void CombineAmongPeers(kernels::PeerExchangeArgs args) { ExchangeAmongPeers(args); }

  // Joins the rows that each rank of the tp group holds (rows_of[r] of them) into `all` on every one.
  absl::Status GatherShares(const void* own, void* all, std::span<const int64_t> rows_of, int64_t row_bytes);

  // Logits: out = each tp rank's own block, in rank order.
  absl::Status GatherLogits(const void* own, void* out, int64_t bytes);

  // Between the ranks of neighbouring stages with the same tp and dp rank.
  absl::Status SendToNextStage(const void* data, int64_t bytes);
  absl::Status ReceiveFromPreviousStage(void* data, int64_t bytes);

  // Rows of a dp group up to which Decoder::Forward meets other ranks in kernels alone, so that it can be
  // recorded: any number where this rank is alone, none where some seam needs the host.
  int64_t most_recorded_rows(model::ExpertExchange exchange) const;

  // Once the device has been waited for: what became of what needs no host.
  absl::Status Check() const;
  // The epoch is over: nothing queued waits for another rank any more.
  void Release();

  // The time spent in seams since the last call, waiting included. Seams that need no host take none.
  absl::Duration TakeElapsed();

 private:
  Seams(const model::Layout& layout, Rank rank, Communicator* world, Device* device);
  absl::StatusOr<std::unique_ptr<PeerGroup>> MeetPeers(Communicator* group, std::optional<PeerArea>& area);
  void ExchangeAmongPeers(kernels::PeerExchangeArgs args);
  absl::Status SumOver(Communicator* group, const kernels::Matrix& x);
  absl::Status AllToAllRows(const void* send, std::span<const int64_t> rows_to, void* receive,
                            std::span<const int64_t> rows_from, int64_t row_bytes);

  const model::Layout layout_;
  const Rank rank_;
  Communicator* const world_;
  Device* const device_;
  // Null for groups of one.
  std::unique_ptr<Communicator> stage_;
  std::unique_ptr<Communicator> tp_;
  std::unique_ptr<Communicator> dp_;
  std::unique_ptr<PeerGroup> summing_;     // the tp group; null: its sums are all the communicator's
  std::unique_ptr<PeerGroup> exchanging_;  // the stage
  absl::Duration elapsed_;
};

}  // namespace deeprack::worker
