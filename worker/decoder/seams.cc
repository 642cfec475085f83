#include "worker/decoder/seams.h"

#include <spdlog/spdlog.h>

#include <limits>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace deeprack::worker {
namespace {

// Adds the time from construction to destruction to `sum`.
class Stopwatch {
 public:
  explicit Stopwatch(absl::Duration& sum) : sum_(sum), start_nanos_(absl::GetCurrentTimeNanos()) {}
  ~Stopwatch() { sum_ += absl::Nanoseconds(absl::GetCurrentTimeNanos() - start_nanos_); }

 private:
  absl::Duration& sum_;
  const int64_t start_nanos_;
};

std::vector<int64_t> Scaled(std::span<const int64_t> counts, int64_t factor) {
  std::vector<int64_t> scaled(counts.begin(), counts.end());
  for (int64_t& value : scaled) value *= factor;
  return scaled;
}

int64_t RowBytes(const kernels::Matrix& x) { return x.cols * static_cast<int64_t>(SizeOf(x.type)); }

// A group of one rank gets no communicator: null.
absl::StatusOr<std::unique_ptr<Communicator>> SplitUnlessAlone(Communicator* from, int color, int size) {
  if (size == 1) return nullptr;
  return from->Split(color);
}

}  // namespace

Seams::Seams(const model::Layout& layout, Rank rank, Communicator* world, Device* device)
    : layout_(layout), rank_(rank), world_(world), device_(device) {}

absl::StatusOr<std::unique_ptr<Seams>> Seams::Create(const model::Layout& layout, Rank rank,
                                                     Communicator* world, Device* device,
                                                     PeerAreas* peer_areas) {
  DR_CHECK(world != nullptr || layout.world_size() == 1);
  DR_CHECK(world == nullptr || (world->size() == layout.world_size() && world->rank() == rank));
  std::unique_ptr<Seams> seams(new Seams(layout, rank, world, device));
  const model::RankCoordinates at = model::CoordinatesOf(layout, rank);
  DR_ASSIGN_OR_RETURN(seams->stage_, SplitUnlessAlone(world, at.pp_rank, layout.stage_size()));
  DR_ASSIGN_OR_RETURN(seams->tp_, SplitUnlessAlone(seams->stage_.get(), at.dp_rank, layout.tp));
  DR_ASSIGN_OR_RETURN(seams->dp_, SplitUnlessAlone(seams->stage_.get(), at.tp_rank, layout.dp));
  const int replica = layout.pp == 1 ? 1 : layout.tp * layout.pp;
  DR_ASSIGN_OR_RETURN(seams->replica_, SplitUnlessAlone(world, at.dp_rank, replica));
  if (device->shares_host_memory()) return seams;
  // Every rank calls these, because they are collective, also a rank without areas.
  DR_ASSIGN_OR_RETURN(seams->summing_, seams->MeetPeers(seams->tp_.get(), peer_areas->sums));
  DR_ASSIGN_OR_RETURN(seams->exchanging_, seams->MeetPeers(seams->stage_.get(), peer_areas->exchanges));
  return seams;
}

// Null if a rank of the group does not reach the memory of all others.
absl::StatusOr<std::unique_ptr<PeerGroup>> Seams::MeetPeers(Communicator* group,
                                                            std::optional<PeerArea>& area) {
  if (group == nullptr || group->size() > kernels::kMaxPeers) return nullptr;
  auto peers = PeerGroup::Create(*group, *device_, area.has_value() ? &*area : nullptr);
  if (!absl::IsFailedPrecondition(peers.status())) return peers;
  if (area.has_value()) {
    spdlog::info("{} ranks exchange through a communicator, not through each other's memory: {}",
                 group->size(), std::string(peers.status().message()));
  }
  return nullptr;
}

absl::Status Seams::SumOver(Communicator* group, const kernels::Matrix& x) {
  if (group == nullptr || x.rows == 0) return absl::OkStatus();
  DR_CHECK(x.stride == x.cols);
  // With one dp group the stage is the tp group.
  const bool among_peers = summing_ != nullptr && group->size() == layout_.tp;
  if (among_peers && x.rows <= summing_->memory().places) {
    device_->kernels().peer_sum({.x = x, .peers = summing_->memory()}, device_->execution());
    return absl::OkStatus();
  }
  const Stopwatch watch(elapsed_);
  return group->AllReduceSum(x.data, x.rows * x.cols, x.type);
}

absl::Status Seams::BlockSumAndNorm(const kernels::AddRmsNormArgs& norm) {
  const kernels::KernelSet& kernels = device_->kernels();
  if (summing_ != nullptr && kernels.peer_add_rms_norm != nullptr &&
      norm.x.rows <= summing_->memory().places) {
    kernels.peer_add_rms_norm({.norm = norm, .peers = summing_->memory()}, device_->execution());
    return absl::OkStatus();
  }
  DR_RETURN_IF_ERROR(SumOver(tp_.get(), norm.x));
  kernels.add_rms_norm(norm, device_->execution());
  return absl::OkStatus();
}

absl::Status Seams::GatherTokens(const kernels::Matrix& own, const kernels::Matrix& all,
                                 std::span<const int64_t> tokens_of) {
  DR_CHECK(dp_ != nullptr && own.stride == own.cols && all.stride == all.cols);
  const Stopwatch watch(elapsed_);
  return dp_->AllGatherV(own.data, all.data, Scaled(tokens_of, RowBytes(own)));
}

absl::Status Seams::ExchangeCounts(const int64_t* rows_to, int64_t* counts, std::span<int64_t> host_counts) {
  const int64_t* from = rows_to;
  if (stage_ != nullptr) {
    const Stopwatch watch(elapsed_);
    DR_RETURN_IF_ERROR(
        stage_->AllGather(rows_to, counts, layout_.stage_size() * static_cast<int64_t>(sizeof(int64_t))));
    from = counts;
  }
  DR_RETURN_IF_ERROR(
      device_->CopyOut(host_counts.data(), from, static_cast<int64_t>(host_counts.size_bytes())));
  if (stage_ != nullptr) {
    const Stopwatch watch(elapsed_);
    DR_RETURN_IF_ERROR(stage_->Await());
  }
  return device_->Synchronize();
}

absl::Status Seams::AllToAllRows(const void* send, std::span<const int64_t> rows_to, void* receive,
                                 std::span<const int64_t> rows_from, int64_t row_bytes) {
  if (stage_ == nullptr) {
    return device_->CopyWithin(receive, send, rows_to[0] * row_bytes);
  }
  const Stopwatch watch(elapsed_);
  return stage_->AllToAllV(send, Scaled(rows_to, row_bytes), receive, Scaled(rows_from, row_bytes));
}

absl::Status Seams::MoeDispatch(const void* send, std::span<const int64_t> rows_to, void* receive,
                                std::span<const int64_t> rows_from, int64_t row_bytes) {
  return AllToAllRows(send, rows_to, receive, rows_from, row_bytes);
}

absl::Status Seams::MoeCombine(const void* send, std::span<const int64_t> rows_to, void* receive,
                               std::span<const int64_t> rows_from, int64_t row_bytes) {
  return AllToAllRows(send, rows_to, receive, rows_from, row_bytes);
}

absl::Status Seams::GatherShares(const void* own, void* all, std::span<const int64_t> rows_of,
                                 int64_t row_bytes) {
  DR_CHECK(tp_ != nullptr);
  const Stopwatch watch(elapsed_);
  return tp_->AllGatherV(own, all, Scaled(rows_of, row_bytes));
}

absl::Status Seams::GatherLogits(const void* own, void* out, int64_t bytes) {
  DR_CHECK(tp_ != nullptr);
  const Stopwatch watch(elapsed_);
  return tp_->AllGather(own, out, bytes);
}

absl::Status Seams::ShareOutcomes(const void* own, void* all, int64_t bytes) {
  Communicator* const group = replica_ != nullptr ? replica_.get() : tp_.get();
  DR_CHECK(group != nullptr);
  std::vector<int64_t> bytes_of(static_cast<size_t>(group->size()), 0);
  bytes_of[static_cast<size_t>(group->size() - layout_.tp)] = bytes;  // the last stage's tp rank 0
  const Stopwatch watch(elapsed_);
  return group->AllGatherV(own, all, bytes_of);
}

absl::Status Seams::SendToNextStage(const void* data, int64_t bytes) {
  const Stopwatch watch(elapsed_);
  return world_->Send(data, bytes, rank_ + layout_.stage_size());
}

absl::Status Seams::ReceiveFromPreviousStage(void* data, int64_t bytes) {
  const Stopwatch watch(elapsed_);
  return world_->Receive(data, bytes, rank_ - layout_.stage_size());
}

bool Seams::ExchangesAmongPeers(int64_t slots) const {
  return slots > 0 && exchanging_ != nullptr && slots <= exchanging_->memory().places / layout_.stage_size();
}

void Seams::ExchangeAmongPeers(kernels::PeerExchangeArgs args) {
  args.peers = exchanging_->memory();
  device_->kernels().peer_exchange(args, device_->execution());
}

int64_t Seams::most_recorded_rows(model::ExpertExchange exchange) const {
  const bool exchanges = exchange == model::ExpertExchange::kAllToAll;
  if (layout_.pp > 1 || (exchanges && layout_.tp > 1) || (!exchanges && layout_.dp > 1)) return 0;
  if (exchanges) {
    return exchanging_ == nullptr ? 0 : exchanging_->memory().places / layout_.stage_size();
  }
  if (layout_.tp == 1) return std::numeric_limits<int64_t>::max();
  return summing_ == nullptr ? 0 : summing_->memory().places;
}

absl::Status Seams::Check() const {
  if (summing_ != nullptr) DR_RETURN_IF_ERROR(summing_->Check());
  return exchanging_ == nullptr ? absl::OkStatus() : exchanging_->Check();
}

void Seams::Release() {
  if (summing_ != nullptr) summing_->Release();
  if (exchanging_ != nullptr) exchanging_->Release();
}

absl::Duration Seams::TakeElapsed() { return std::exchange(elapsed_, absl::ZeroDuration()); }

}  // namespace deeprack::worker
