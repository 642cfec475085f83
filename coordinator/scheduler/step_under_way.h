// What the scheduler remembers of a step until it is applied.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "coordinator/scheduler/sequence.h"

namespace deeprack::coordinator {

struct StepUnderWay {
  // One sequence with rows. The sequence outlives the step.
  struct Entry {
    Sequence* sequence = nullptr;
    int32_t dp_rank = 0;  // of its pages in this step; it may have been preempted since
    int32_t first = 0;    // the position of its first row
    int32_t rows = 0;
    int32_t drafts = 0;    // the last of the rows: SequenceRows::drafts
    bool draws = false;    // a token is drawn after the last row, and after each draft that is accepted
    bool decodes = false;  // the row before the drafts is the last token that was drawn
    bool scores = false;   // prompt tokens' log-probabilities are due
  };

  StepId step = 0;
  bool speculates = false;                 // some sequence has drafts or makes some
  std::vector<std::vector<Entry>> groups;  // [dp]: in the order of GroupPlan::rows

  int64_t sequences() const {
    int64_t count = 0;
    for (const std::vector<Entry>& group : groups) count += std::ssize(group);
    return count;
  }
};

}  // namespace deeprack::coordinator
