// What the ranks do in one step. Values: the scheduler makes a StepPlan, dispatch sends each rank its
// RankStep.
//
// A rank keeps its sequences. `opened` brings a sequence once; later steps name it by its slot and bring what
// is new. A rank appends the tokens that it draws by itself. A new epoch begins with empty slots.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "model/step/constraint_spec.h"
#include "model/step/end_rule.h"
#include "model/step/sampling_params.h"

namespace deeprack::model {

struct OpenedSequence {
  SequenceSlot slot = 0;  // free on these ranks
  SequenceId sequence = 0;
  int32_t prompt_size = 0;      // at least 1
  std::vector<TokenId> tokens;  // the prompt, then the output so far; at least prompt_size tokens
  int32_t num_computed = 0;     // positions [0, num_computed) are in the KV cache; less than the tokens
  SamplingParams sampling;
  EndRule end;  // end.max_size equal to tokens.size(): nothing is drawn
  // Log-probabilities of prompt tokens (`echo`): for each computed position p with p + 1 < prompt_size, the
  // log-probability of the token at p + 1 given the tokens before it. -1: none. n >= 0: those of the token
  // and of the n most likely tokens at its position.
  int32_t prompt_logprobs = -1;
  std::optional<Constraint> constraint;  // of the output

  bool operator==(const OpenedSequence&) const = default;
};

// Entries [first, first + pages.size()) of a sequence's block table. Entry i is the page of positions
// [i * kPageTokens, (i + 1) * kPageTokens). `first` is at most the table's size.
struct PageChange {
  SequenceSlot slot = 0;
  int32_t first = 0;
  std::vector<BlockId> pages;

  bool operator==(const PageChange&) const = default;
};

// `rows` positions of a sequence are computed, from its first one that is not in the KV cache. They are
// tokens that the rank has. After the last of its tokens, the rank draws the next one. A sequence that has
// ended on its rank keeps its rows in the step; they are computed as padding, and no token comes of them.
//
// Speculation: the last `drafts` of the rows are drafts that the ranks made in the sequence's last step. The
// rank draws after each of them too, with the noise of that position, and keeps a draw while all drafts
// before it equal the tokens that were drawn at their positions. So 1 to 1 + drafts tokens come of the rows,
// and they are the tokens that steps without drafts draw.
struct SequenceRows {
  SequenceSlot slot = 0;
  int32_t rows = 0;         // at least 1 + drafts
  int32_t drafts = 0;       // not 0: rows - drafts are all tokens that are not computed
  int32_t next_drafts = 0;  // how many drafts the ranks make after the draw; 0 if nothing is drawn

  bool operator==(const SequenceRows&) const = default;
};

// The share of one dp group. A rank does the parts in this order.
struct GroupPlan {
  std::vector<SequenceSlot> closed;
  std::vector<OpenedSequence> opened;
  std::vector<PageChange> pages;
  std::vector<SequenceRows> rows;  // a slot at most once; results come back in this order

  bool empty() const { return closed.empty() && opened.empty() && pages.empty() && rows.empty(); }
  bool operator==(const GroupPlan&) const = default;
};

// What the ranks of all groups must know alike.
struct StepHeader {
  Epoch epoch = 0;
  StepId step = 0;                     // counts up by 1 within an epoch, from 1
  std::vector<int32_t> rows_of_group;  // [dp]
  // Each sequence of each group has one row beside its drafts, which is a token of its output, and draws after
  // it. Such a step may run from a recording.
  bool decodes_only = false;
  // [d][dp]: how many sequences of each group have next_drafts > d. Its size is the most next_drafts of a
  // sequence of any group.
  std::vector<std::vector<int32_t>> drafting;

  bool operator==(const StepHeader&) const = default;
};

struct StepPlan {
  StepHeader header;
  std::vector<GroupPlan> groups;  // [dp]

  bool operator==(const StepPlan&) const = default;
};

// A rank's share of a StepPlan.
struct RankStep {
  StepHeader header;
  GroupPlan group;

  bool operator==(const RankStep&) const = default;
};

}  // namespace deeprack::model
