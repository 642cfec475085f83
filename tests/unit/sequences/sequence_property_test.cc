// However sequences are cut into steps, opened, closed and mixed: the table resolves the rows that a plain
// list of the sequences gives. The list knows each sequence's whole text beforehand.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "worker/sequences/sequence_table.h"

namespace deeprack::worker {
namespace {

constexpr int64_t kVocabulary = 6, kBlocks = 40;
constexpr model::StepLimits kLimits = {.max_step_tokens = 150, .max_sequences = 5, .max_context = 300};
constexpr TokenId kStop = 5;
constexpr int32_t kMostDrafts = 3;

// A sequence as the test knows it.
struct Text {
  SequenceId sequence = 0;
  int32_t prompt_size = 0;
  std::vector<TokenId> tokens;  // the prompt and the whole output, up to the sequence's end
  int32_t size = 0;             // the tokens that the table has
  int32_t computed = 0;
  std::vector<TokenId> drafts;  // of the tokens from `size` on
  std::vector<BlockId> pages;
  model::SamplingParams sampling;
  model::EndRule end;
  int32_t prompt_logprobs = -1;
  bool ended = false;
};

// A sequence's rows in a step.
struct Rows {
  SequenceSlot slot = 0;
  int32_t known = 0;  // without drafts
  std::vector<TokenId> drafts;
  int32_t next_drafts = 0;
};

class Script {
 public:
  explicit Script(uint32_t seed) : random_(seed) {
    for (BlockId block = 0; block < kBlocks; ++block) free_.insert(block);
  }

  void Run(int steps) {
    for (StepId step = 1; step <= static_cast<StepId>(steps) && !::testing::Test::HasFailure(); ++step)
      RunStep(step);
  }

 private:
  int32_t Below(int64_t n) { return static_cast<int32_t>(random_() % static_cast<uint64_t>(n)); }

  void RunStep(StepId number) {
    SCOPED_TRACE(::testing::Message() << "step " << number);
    model::RankStep plan = {.header = {.epoch = 3, .step = number, .rows_of_group = {0}}, .group = {}};
    CloseSome(plan.group);
    OpenSome(plan.group);
    const std::vector<Rows> rows = ChooseRows(plan);
    const auto begun = table_.Begin(plan);
    ASSERT_TRUE(begun.ok()) << begun.status();
    ASSERT_EQ(begun->sequences.size(), rows.size());
    StepOutcomes outcomes;
    for (size_t i = 0; i < rows.size(); ++i) {
      Text& text = texts_.at(rows[i].slot);
      ExpectRows(begun->sequences[i], text, rows[i]);
      const std::vector<TokenId> tokens = OutcomesOf(text, rows[i]);
      outcomes.tokens.insert(outcomes.tokens.end(), tokens.begin(), tokens.end());
      Advance(text, rows[i], tokens);
      MakeDrafts(text, rows[i].next_drafts);
      outcomes.drafts.insert(outcomes.drafts.end(), text.drafts.begin(), text.drafts.end());
    }
    const absl::Status accepted = table_.Accept(*begun, outcomes);
    ASSERT_TRUE(accepted.ok()) << accepted;
  }

  void CloseSome(model::GroupPlan& group) {
    for (auto at = texts_.begin(); at != texts_.end();) {
      const bool close = Below(at->second.ended ? 3 : 25) == 0;
      if (!close) {
        ++at;
        continue;
      }
      group.closed.push_back(at->first);
      ReleasePages(at->second);
      at = texts_.erase(at);
    }
  }

  void ReleasePages(Text& text) {
    for (const BlockId page : text.pages) {
      if (--holders_[page] == 0) free_.insert(page);
    }
    text.pages.clear();
  }

  void OpenSome(model::GroupPlan& group) {
    while (texts_.size() < 8 && Below(3) == 0) {
      Text text = NewText();
      const SequenceSlot slot = FreeSlot();
      // Prefixes: the complete pages of another sequence, if these are of the prompt.
      for (const auto& [_, other] : texts_) {
        const int32_t shared = std::min<int32_t>(other.computed, text.size - 1) / kPageTokens;
        if (shared == 0 || other.ended || Below(2) == 0) continue;
        text.pages.assign(other.pages.begin(), other.pages.begin() + shared);
        text.computed = shared * kPageTokens;
        break;
      }
      for (const BlockId page : text.pages) ++holders_[page];
      group.opened.push_back({.slot = slot,
                              .sequence = text.sequence,
                              .prompt_size = text.prompt_size,
                              .tokens = {text.tokens.begin(), text.tokens.begin() + text.size},
                              .num_computed = text.computed,
                              .sampling = text.sampling,
                              .end = text.end,
                              .prompt_logprobs = text.prompt_logprobs});
      if (!text.pages.empty()) group.pages.push_back({.slot = slot, .first = 0, .pages = text.pages});
      texts_.emplace(slot, std::move(text));
    }
  }

  Text NewText() {
    Text text = {.sequence = ++last_, .prompt_size = 1 + Below(140)};
    text.end = {.stop_tokens = {kStop}, .min_tokens = Below(3) == 0 ? Below(20) : 0};
    text.end.max_size = text.prompt_size + Below(60);
    if (Below(4) == 0) text.end.stop_tokens.clear();
    if (Below(3) == 0) text.sampling.presence_penalty = 0.5f;
    if (Below(3) == 0) text.sampling.logit_bias = {{2, 1.0f}, {kStop, 0.5f}};
    if (Below(4) == 0) text.prompt_logprobs = Below(3);
    for (int32_t i = 0; i < text.prompt_size; ++i) text.tokens.push_back(Below(kVocabulary));
    // The output ends at the first stop token after min_tokens other ones, or at max_size.
    while (std::ssize(text.tokens) < text.end.max_size) {
      const bool may_stop = std::ssize(text.tokens) - text.prompt_size >= text.end.min_tokens;
      text.tokens.push_back(Below(may_stop ? kVocabulary : kVocabulary - 1));
      if (text.tokens.back() == kStop && !text.end.stop_tokens.empty()) break;
    }
    // Some have a part of their output already.
    text.size = text.prompt_size;
    if (const auto output = std::ssize(text.tokens) - text.prompt_size; output > 1 && Below(3) == 0)
      text.size += Below(output);
    return text;
  }

  SequenceSlot FreeSlot() {
    SequenceSlot slot = Below(4 * kLimits.max_sequences);
    while (texts_.contains(slot)) slot = (slot + 1) % static_cast<SequenceSlot>(4 * kLimits.max_sequences);
    return slot;
  }

  // Chooses sequences and numbers of rows, and gives them the pages that they need, sometimes more.
  std::vector<Rows> ChooseRows(model::RankStep& plan) {
    std::vector<SequenceSlot> slots;
    for (const auto& [slot, _] : texts_) slots.push_back(slot);
    std::shuffle(slots.begin(), slots.end(), random_);
    std::vector<Rows> chosen;
    int32_t& sum = plan.header.rows_of_group[0];
    for (const SequenceSlot slot : slots) {
      Text& text = texts_.at(slot);
      if (std::ssize(chosen) == kLimits.max_sequences || Below(4) == 0) continue;
      const int32_t left = text.ended ? 1 + Below(70) : text.size - text.computed;
      if (left == 0) continue;  // all is computed, and nothing is drawn at max_size
      const int32_t room = static_cast<int32_t>(kLimits.max_step_tokens) - sum;
      Rows rows = {.slot = slot,
                   .known = std::min({Below(3) == 0 ? left : 1 + Below(left), 1 + Below(70), room}),
                   .drafts = {}};
      if (rows.known < 1) continue;
      if (text.ended || Samples(text, rows.known)) {
        const int32_t most =
            text.ended ? kMostDrafts : std::min(kMostDrafts, text.end.max_size - text.size - 1);
        rows.drafts = text.drafts;
        rows.drafts.resize(static_cast<size_t>(std::min(Below(most + 1), room - rows.known)), 0);
        rows.next_drafts = Below(kMostDrafts + 1);
      }
      const auto drafts = static_cast<int32_t>(rows.drafts.size()), all = rows.known + drafts;
      if (!text.ended && !GivePages(slot, text, all + std::max(0, rows.next_drafts - 1), plan.group))
        continue;
      sum += all;
      plan.group.rows.push_back(
          {.slot = slot, .rows = all, .drafts = drafts, .next_drafts = rows.next_drafts});
      chosen.push_back(std::move(rows));
    }
    for (int32_t d = 0; d < kMostDrafts; ++d) {
      const auto drafting =
          std::ranges::count_if(chosen, [d](const Rows& rows) { return rows.next_drafts > d; });
      if (drafting > 0) plan.header.drafting.push_back({static_cast<int32_t>(drafting)});
    }
    return chosen;
  }

  bool GivePages(SequenceSlot slot, Text& text, int32_t rows, model::GroupPlan& group) {
    const auto size = std::ssize(text.pages);
    const int64_t pages = CeilDiv(int64_t{text.computed} + rows, kPageTokens) - size;
    if (pages > std::ssize(free_)) return false;
    if (pages <= 0) return true;
    model::PageChange change = {.slot = slot, .first = static_cast<int32_t>(size), .pages = {}};
    for (int64_t i = 0; i < pages; ++i) {
      auto taken = free_.begin();
      std::advance(taken, Below(std::ssize(free_)));
      change.pages.push_back(*taken);
      holders_[*taken] = 1;
      free_.erase(taken);
    }
    text.pages.insert(text.pages.end(), change.pages.begin(), change.pages.end());
    group.pages.push_back(std::move(change));
    return true;
  }

  static bool Samples(const Text& text, int32_t rows) {
    return text.computed + rows == text.size && text.size < text.end.max_size;
  }

  void ExpectRows(const StepSequence& actual, const Text& text, const Rows& rows) {
    SCOPED_TRACE(::testing::Message() << "sequence " << text.sequence);
    const auto drafts = static_cast<int32_t>(rows.drafts.size());
    EXPECT_EQ(actual.slot, rows.slot);
    EXPECT_EQ(actual.sequence, text.sequence);
    EXPECT_EQ(actual.rows, rows.known + drafts);
    EXPECT_EQ(actual.next_drafts, rows.next_drafts);
    EXPECT_EQ(actual.refused, "");
    ASSERT_EQ(actual.padding, text.ended);
    if (text.ended) {
      EXPECT_TRUE(actual.token_ids.empty() && !actual.sample && actual.prompt_logprobs < 0);
      EXPECT_EQ(actual.drafts, 0);
      return;
    }
    EXPECT_EQ(std::vector<BlockId>(actual.block_table.begin(), actual.block_table.end()), text.pages);
    EXPECT_EQ(actual.prompt_size, text.prompt_size);
    EXPECT_EQ(actual.num_computed, text.computed);
    const auto begin = text.tokens.begin() + text.computed;
    std::vector<TokenId> tokens(begin, begin + rows.known);
    tokens.insert(tokens.end(), rows.drafts.begin(), rows.drafts.end());
    EXPECT_EQ(std::vector<TokenId>(actual.token_ids.begin(), actual.token_ids.end()), tokens);
    EXPECT_EQ(actual.sample, Samples(text, rows.known));
    EXPECT_EQ(actual.draws(), actual.sample ? 1 + drafts : 0);
    for (int32_t draw = 0; draw < actual.draws(); ++draw) {
      model::SamplingParams sampling = text.sampling;
      if (text.size + draw - text.prompt_size < text.end.min_tokens && !text.end.stop_tokens.empty()) {
        if (sampling.logit_bias.empty()) sampling.logit_bias.emplace_back();
        sampling.logit_bias.back() = {kStop, -1e30f};
      }
      EXPECT_EQ(actual.SamplingOf(draw), sampling) << "draw " << draw;
    }
    std::map<TokenId, TokenCount> counts;
    for (int32_t i = 0; i < text.size && actual.sample && text.sampling.uses_penalties(); ++i) {
      TokenCount& count = counts[text.tokens[static_cast<size_t>(i)]];
      count.token = text.tokens[static_cast<size_t>(i)];
      ++(i < text.prompt_size ? count.in_prompt : count.in_output);
    }
    EXPECT_EQ(actual.token_counts.size(), counts.size());
    for (const TokenCount& count : actual.token_counts) EXPECT_EQ(count, counts[count.token]);
    const bool scored = text.computed + 1 < text.prompt_size;
    EXPECT_EQ(actual.prompt_logprobs, scored ? text.prompt_logprobs : -1);
    const int32_t end = text.computed + rows.known;
    EXPECT_EQ(actual.next_token, end < text.size ? text.tokens[static_cast<size_t>(end)] : -1);
    EXPECT_EQ(actual.next_prompt_token(),
              end < text.prompt_size ? text.tokens[static_cast<size_t>(end)] : -1);
  }

  // The tokens of the output as far as the drafts are right, then kNoToken. Now and then a row of logits is
  // not finite.
  std::vector<TokenId> OutcomesOf(const Text& text, const Rows& rows) {
    if (text.ended) return {kNoToken};
    const bool scores = text.prompt_logprobs >= 0 && text.computed + 1 < text.prompt_size;
    const bool samples = Samples(text, rows.known);
    std::vector<TokenId> outcomes(samples ? 1 + rows.drafts.size() : 1, kNoToken);
    if ((scores || samples) && Below(60) == 0) {
      outcomes[0] = kNotFinite;
      return outcomes;
    }
    for (size_t i = 0; samples && i < outcomes.size(); ++i) {
      const size_t at = static_cast<size_t>(text.size) + i;
      if (at >= text.tokens.size() || (i > 0 && (rows.drafts[i - 1] != outcomes[i - 1] || Below(60) == 0)))
        break;
      outcomes[i] = text.tokens[at];
    }
    return outcomes;
  }

  // The drafts of the tokens that come next, of which some are right.
  void MakeDrafts(Text& text, int32_t count) {
    text.drafts.clear();
    for (size_t at = static_cast<size_t>(text.size); std::ssize(text.drafts) < count; ++at)
      text.drafts.push_back(at < text.tokens.size() && Below(3) > 0 ? text.tokens[at] : Below(kVocabulary));
  }

  void Advance(Text& text, const Rows& rows, const std::vector<TokenId>& outcomes) {
    if (text.ended) return;
    const auto kept = static_cast<int32_t>(std::ranges::count_if(outcomes, [](TokenId t) { return t >= 0; }));
    text.computed += rows.known + std::max(0, kept - 1);
    text.size += kept;
    text.ended = outcomes[0] == kNotFinite || (kept > 0 && text.size == std::ssize(text.tokens));
    if (text.ended) ReleasePages(text);
  }

  std::mt19937 random_;
  SequenceTable table_{{.epoch = 3,
                        .vocab_size = kVocabulary,
                        .blocks = kBlocks,
                        .most_drafts = kMostDrafts,
                        .limits = kLimits}};
  std::map<SequenceSlot, Text> texts_;
  std::set<BlockId> free_;
  std::map<BlockId, int> holders_;
  SequenceId last_ = 0;
};

TEST(SequencePropertyTest, AnyStepsResolveToThePlainRows) {
  for (uint32_t seed = 1; seed <= 40 && !HasFailure(); ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    Script(seed).Run(300);
  }
}

}  // namespace
}  // namespace deeprack::worker
