#include "coordinator/dispatch/load_watch.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace deeprack::coordinator {

namespace {

// The most bytes of one rank. With this limit a sum over the ranks of any layout fits 64 bits.
constexpr int64_t kMostBytes = int64_t{1} << 46;

}  // namespace

LoadWatch::LoadWatch(int ranks, absl::Duration timeout, absl::Time now)
    : timeout_(timeout), ranks_(ranks, State{.reported = now}), last_check_(now) {}

void LoadWatch::Report(Rank rank, Bytes bytes, absl::Time now) {
  ranks_[rank].bytes = {std::clamp<int64_t>(bytes.done, 0, kMostBytes),
                        std::clamp<int64_t>(bytes.total, 0, kMostBytes)};
  ranks_[rank].reported = now;
}

LoadWatch::Bytes LoadWatch::sum() const {
  Bytes sum;
  for (const State& rank : ranks_) {
    sum.done += rank.bytes.done;
    sum.total += rank.bytes.total;
  }
  return sum;
}

std::vector<Rank> LoadWatch::Stalled(absl::Time now) {
  const bool overslept = now - last_check_ > timeout_ / 2;
  last_check_ = now;
  std::vector<Rank> stalled;
  for (Rank rank = 0; rank < static_cast<Rank>(ranks_.size()); ++rank) {
    State& state = ranks_[rank];
    if (overslept) state.reported = now;
    if (!state.ended && now - state.reported > timeout_) stalled.push_back(rank);
  }
  return stalled;
}

std::string LoadWatch::Describe(Rank rank) const {
  const Bytes& bytes = ranks_[rank].bytes;
  return absl::StrCat("its load has made no progress for ", absl::FormatDuration(timeout_),
                      bytes.total > 0 ? absl::StrCat(" at ", bytes.done, " of ", bytes.total, " bytes")
                                      : " and had not begun to read");
}

}  // namespace deeprack::coordinator
