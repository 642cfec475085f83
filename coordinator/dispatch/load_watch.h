// The progress of a load on every rank, and the ranks that make no progress. State only: the time is a
// parameter, and nothing is locked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/ids.h"

namespace deeprack::coordinator {

class LoadWatch {
 public:
  // `timeout`: the time without a report after which a rank is stalled.
  LoadWatch(int ranks, absl::Duration timeout, absl::Time now);

  struct Bytes {
    int64_t done = 0;
    int64_t total = 0;  // 0: not known yet
  };

  // A rank has reported. Every report counts as progress, also one with the bytes of the report before.
  // Impossible numbers are clamped.
  void Report(Rank rank, Bytes bytes, absl::Time now);
  void Ended(Rank rank) { ranks_[rank].ended = true; }

  Bytes sum() const;  // over all ranks

  // The ranks that have not ended and have not reported for `timeout`, in ascending order. Call it several
  // times a second: after a pause of this process itself, every rank has the full time again.
  std::vector<Rank> Stalled(absl::Time now);

  // "its load has made no progress for 2m at 12 of 40 bytes"
  std::string Describe(Rank rank) const;

 private:
  struct State {
    Bytes bytes;
    absl::Time reported;
    bool ended = false;
  };

  const absl::Duration timeout_;
  std::vector<State> ranks_;
  absl::Time last_check_;
};

}  // namespace deeprack::coordinator
