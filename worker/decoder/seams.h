// All exchanges of the decoder with other ranks, by name. No other part of the decoder communicates.
//
// Groups of a rank: its stage (tp * dp ranks); its tp group (the ranks of its dp group in the stage); its dp
// group (the ranks of the stage with its tp rank); its replica (the ranks of its dp group in all stages, tp *
// pp ranks). All matrices are contiguous (stride == cols). All buffers are in the device's memory, which
// `world` exchanges. With one rank in the group, an exchange does nothing. Errors are those of the
// communicator: DeadlineExceeded or Aborted, after which the epoch is over.
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
  // Splits `world` into groups; collective over `world`. `world` may be null if the layout has one rank.
  // `world`, `device` and `peer_areas` must outlive the seams. With a peer area, and if all ranks of the
  // group reach each other's memory, sums over tp and exchanges over the stage work without the communicator
  // (worker/collectives/peer).
  static absl::StatusOr<std::unique_ptr<Seams>> Create(const model::Layout& layout, Rank rank,
                                                       Communicator* world, Device* device,
                                                       PeerAreas* peer_areas);

  // Sums over the tp group, in place. EmbeddingSum: embeddings of the ranks' parts of the vocabulary.
  // BlockSum: the output of attention or feed-forward. BlockSumAndNorm: the same, then add_rms_norm of the
  // sum; norm.x is this rank's part.
  absl::Status EmbeddingSum(const kernels::Matrix& x) { return SumOver(tp_.get(), x); }
  absl::Status BlockSumAndNorm(const kernels::AddRmsNormArgs& norm);
  absl::Status BlockSum(const kernels::Matrix& x) { return SumOver(tp_.get(), x); }

  // For replicated experts. GatherTokens: every rank gets the tokens of all dp groups, tokens_of[g] rows of
  // group g, in the order of groups. ExpertsOut: the sum of all ranks' expert outputs over the stage, in
  // place.
  absl::Status GatherTokens(const kernels::Matrix& own, const kernels::Matrix& all,
                            std::span<const int64_t> tokens_of);
  absl::Status ExpertsOut(const kernels::Matrix& x) { return SumOver(stage_.get(), x); }

  // For all_to_all experts, over the stage. counts[r * stage_size + c] = rows that rank r sends to rank c.
  // `rows_to` [stage_size] and `counts` [stage_size, stage_size] are in the device's memory. Also copies the
  // counts to `host_counts`, and so waits for the device.
  absl::Status ExchangeCounts(const int64_t* rows_to, int64_t* counts, std::span<int64_t> host_counts);
  // Exchange rows of row_bytes bytes. rows_to[r] rows are sent to rank r, rows_from[r] rows come from rank r;
  // in `send` and `receive` the rows are grouped by rank, in rank order.
  absl::Status MoeDispatch(const void* send, std::span<const int64_t> rows_to, void* receive,
                           std::span<const int64_t> rows_from, int64_t row_bytes);
  absl::Status MoeCombine(const void* send, std::span<const int64_t> rows_to, void* receive,
                          std::span<const int64_t> rows_from, int64_t row_bytes);

  // The same exchanges between cards that reach each other's memory, with `slots` rows for each rank.
  // ExchangesAmongPeers: true when that is possible. The calls fill in args.peers.
  bool ExchangesAmongPeers(int64_t slots) const;
  void DispatchAmongPeers(kernels::PeerExchangeArgs args) { ExchangeAmongPeers(args); }
  void CombineAmongPeers(kernels::PeerExchangeArgs args) { ExchangeAmongPeers(args); }

  // Every rank of the tp group gets the rows of all ranks of the group: rows_of[r] rows of rank r, in rank
  // order.
  absl::Status GatherShares(const void* own, void* all, std::span<const int64_t> rows_of, int64_t row_bytes);

  // For logits: out [tp * bytes] = the block `own` [bytes] of each tp rank, in rank order.
  absl::Status GatherLogits(const void* own, void* out, int64_t bytes);

  // Between ranks of neighbouring stages with the same tp and dp rank.
  // Over the replica, which must have several ranks: every rank gets the `bytes` bytes `own` of the rank that
  // draws (tp rank 0 of the last stage). The other ranks' `own` is not read.
  absl::Status ShareOutcomes(const void* own, void* all, int64_t bytes);

  absl::Status SendToNextStage(const void* data, int64_t bytes);
  absl::Status ReceiveFromPreviousStage(void* data, int64_t bytes);

  // The most rows of a dp group with which Decoder::Forward exchanges with other ranks only in kernels, so
  // that the step can be recorded. Without other ranks: any number. If a seam needs the host: 0.
  int64_t most_recorded_rows(model::ExpertExchange exchange) const;

  // Call after the device has been synchronized. The status of the exchanges that worked without the
  // communicator.
  absl::Status Check() const;
  // Call when the epoch is over: no queued exchange waits for another rank any more.
  void Release();

  // The time spent in seams since the last call, with waiting. Exchanges in kernels do not count.
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
  // Null for a group of one rank.
  std::unique_ptr<Communicator> stage_;
  std::unique_ptr<Communicator> tp_;
  std::unique_ptr<Communicator> dp_;
  std::unique_ptr<Communicator> replica_;  // null also with one stage: then the tp group is the replica
  std::unique_ptr<PeerGroup> summing_;     // the tp group; null: the communicator makes all sums
  std::unique_ptr<PeerGroup> exchanging_;  // the stage; null: the communicator makes all exchanges
  absl::Duration elapsed_;
};

}  // namespace deeprack::worker
