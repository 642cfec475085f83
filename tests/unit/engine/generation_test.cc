// Engines with tables of sequences, as workers run them: each rank goes on from the tokens that its own table
// has.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "tests/unit/engine/rack.h"
#include "tests/unit/engine/tiny_checkpoint.h"
#include "worker/sequences/sequence_table.h"

namespace deeprack::worker::testing {
namespace {

// What the coordinator knows of a sequence.
struct Request {
  model::OpenedSequence opened;
  int32_t dp_rank = 0;
  BlockId first_page = 0;
  int32_t chunk = 0;  // rows of a step until all but the last token are computed
};

// Runs the requests with steps that are planned without the results of the steps before them, to the end of
// the longest one. Returns the tokens that each drew.
std::vector<std::vector<TokenId>> Generate(Rack& rack, const EngineOptions& options,
                                           const std::vector<Request>& requests) {
  const model::Layout& layout = options.layout;
  std::vector<SequenceTable> tables;
  for (Rank rank = 0; rank < rack.size(); ++rank) {
    tables.emplace_back(SequenceTableOptions{.epoch = kEpoch,
                                             .dp = layout.dp,
                                             .dp_rank = model::CoordinatesOf(layout, rank).dp_rank,
                                             .vocab_size = rack.engine(rank).config().vocab_size,
                                             .blocks = rack.engine(rank).memory().kv_blocks,
                                             .limits = rack.engine(rank).limits()});
  }
  std::vector<std::vector<TokenId>> drawn(requests.size());
  std::vector<int32_t> computed(requests.size(), 0);
  for (StepId number = 1; number <= 40; ++number) {
    model::StepPlan plan = {.header = {.epoch = kEpoch, .step = number}, .groups = {}};
    plan.groups.resize(static_cast<size_t>(layout.dp));
    plan.header.rows_of_group.resize(static_cast<size_t>(layout.dp), 0);
    plan.header.decodes_only = true;
    for (size_t i = 0; i < requests.size(); ++i) {
      const model::OpenedSequence& opened = requests[i].opened;
      model::GroupPlan& group = plan.groups[static_cast<size_t>(requests[i].dp_rank)];
      if (number == 1) {
        group.opened.push_back(opened);
        group.pages.push_back({.slot = opened.slot, .first = 0, .pages = {}});
        for (int64_t page = 0; page < CeilDiv(opened.end.max_size, kPageTokens); ++page)
          group.pages.back().pages.push_back(requests[i].first_page + static_cast<BlockId>(page));
      }
      const int32_t left = opened.prompt_size - computed[i];
      const int32_t rows = left > 0 ? std::min(left, requests[i].chunk) : 1;
      if (computed[i] + 1 >= opened.end.max_size) continue;  // it has ended by its length
      plan.header.decodes_only &= left <= 0;
      plan.header.rows_of_group[static_cast<size_t>(requests[i].dp_rank)] += rows;
      group.rows.push_back({.slot = opened.slot, .rows = rows});
      computed[i] += rows;
    }
    std::vector<GroupStep> steps;
    for (Rank rank = 0; rank < rack.size(); ++rank) {
      const int32_t dp_rank = model::CoordinatesOf(layout, rank).dp_rank;
      auto step = tables[static_cast<size_t>(rank)].Begin(
          {.header = plan.header, .group = plan.groups[static_cast<size_t>(dp_rank)]});
      EXPECT_TRUE(step.ok()) << step.status();
      steps.push_back(*std::move(step));
    }
    const auto executed = rack.ExecuteEach([&](Rank rank) { return steps[static_cast<size_t>(rank)]; });
    EXPECT_TRUE(executed.ok()) << executed.status();
    for (Rank rank = 0; rank < rack.size(); ++rank) {
      const ExecutedStep& own = (*executed)[static_cast<size_t>(rank)];
      const absl::Status accepted =
          tables[static_cast<size_t>(rank)].Accept(steps[static_cast<size_t>(rank)], own.outcomes);
      EXPECT_TRUE(accepted.ok()) << "rank " << rank << ": " << accepted;
      for (const model::SequenceResult& result : own.result.sequences) {
        std::vector<TokenId>& tokens = drawn[result.sequence - 1];
        tokens.insert(tokens.end(), result.tokens.begin(), result.tokens.end());
      }
    }
  }
  return drawn;
}

// The token that an engine draws when it is told everything of the sequence, alone in a step.
TokenId DrawAlone(Rack& rack, const Request& request, std::vector<TokenId> tokens) {
  const model::OpenedSequence& opened = request.opened;
  WrittenSequence whole = {.sequence = opened.sequence,
                           .dp_rank = request.dp_rank,
                           .prompt_size = opened.prompt_size,
                           .token_ids = tokens,
                           .sample = true,
                           .sampling = opened.sampling};
  for (BlockId page = 0; page < 3; ++page) whole.block_table.push_back(request.first_page + page);
  std::map<TokenId, TokenCount> counts;
  for (size_t i = 0; i < tokens.size(); ++i) {
    TokenCount& count = counts[tokens[i]];
    count.token = tokens[i];
    ++(i < static_cast<size_t>(opened.prompt_size) ? count.in_prompt : count.in_output);
  }
  if (opened.sampling.uses_penalties()) {
    for (const auto& [_, count] : counts) whole.token_counts.push_back(count);
  }
  if (std::ssize(tokens) - opened.prompt_size < opened.end.min_tokens) {
    for (const TokenId token : opened.end.stop_tokens) whole.sampling.logit_bias.emplace_back(token, -1e30f);
  }
  const auto results = rack.Execute({.epoch = kEpoch, .sequences = {whole}});
  EXPECT_TRUE(results.ok()) << results.status();
  return results->front().token;
}

class GenerationTest : public ::testing::TestWithParam<std::pair<const char*, model::Layout>> {};

// Prompts of several chunks, an end by a stop token, by the length, and forbidden stop tokens. A sequence
// that has ended keeps its rows in the plans.
TEST_P(GenerationTest, TablesGoOnFromWhatTheRanksDrew) {
  const EngineOptions options = TinyOptions(WriteTinyCheckpoint({}), DType::kBF16, GetParam().second,
                                            model::ExpertExchange::kReplicated);
  auto made = Rack::Create(options);
  ASSERT_TRUE(made.ok()) << made.status();
  Rack& rack = **made;
  std::vector<TokenId> every(131);
  for (size_t i = 0; i < every.size(); ++i) every[i] = static_cast<TokenId>(i);
  std::vector<Request> requests;
  const auto add = [&](int32_t prompt, int32_t chunk, int32_t output, model::SamplingParams sampling,
                       std::vector<TokenId> stops, int32_t min_tokens) {
    const auto id = static_cast<int32_t>(requests.size()) + 1;
    requests.push_back(
        {.opened = RandomSequence(id, prompt, output, std::move(sampling), std::move(stops), min_tokens),
         .dp_rank = id % options.layout.dp,
         .first_page = 3 * id,
         .chunk = chunk});
  };
  add(70, 30, 12, {.temperature = 0.9f, .seed = 4}, {}, 0);
  add(60, 60, 9, {.temperature = 1.2f, .presence_penalty = 0.7f, .frequency_penalty = 0.3f, .seed = 5}, {},
      0);
  add(5, 2, 20, {.temperature = 0, .top_logprobs = 2}, every, 3);  // ends after its fourth token
  add(1, 1, 3, {.temperature = 1.0f, .top_k = 20, .seed = 6}, {}, 0);
  const std::vector<std::vector<TokenId>> drawn = Generate(rack, options, requests);
  const size_t sizes[] = {12, 9, 4, 3};
  for (size_t i = 0; i < requests.size(); ++i) {
    ASSERT_EQ(drawn[i].size(), sizes[i]) << "sequence " << i + 1;
    std::vector<TokenId> tokens = requests[i].opened.tokens;
    for (const TokenId token : drawn[i]) {
      EXPECT_EQ(DrawAlone(rack, requests[i], tokens), token)
          << "sequence " << i + 1 << ", position " << tokens.size();
      tokens.push_back(token);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Layouts, GenerationTest,
    ::testing::Values(std::pair{"alone", model::Layout{}}, std::pair{"tp2", model::Layout{.tp = 2, .ep = 2}},
                      std::pair{"dp2_pp2", model::Layout{.dp = 2, .ep = 2, .pp = 2}},
                      std::pair{"tp2_dp2_ep4", model::Layout{.tp = 2, .dp = 2, .ep = 4}}),
    [](const auto& info) { return info.param.first; });

}  // namespace
}  // namespace deeprack::worker::testing
