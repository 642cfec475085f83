// Each message of cluster.proto: the coordinator's conversion against the worker's conversion.
#include "coordinator/dispatch/conversions.h"

#include <functional>
#include <limits>
#include <random>

#include "gtest/gtest.h"
#include "model/step/message_size.h"
#include "worker/rpc/conversions.h"

namespace deeprack {
namespace {

using Random = std::mt19937_64;

int32_t Small(Random& random) { return static_cast<int32_t>(random() % 1000); }
float Real(Random& random) { return static_cast<float>(Small(random)) / 7.0f - 60.0f; }

model::OpenedSequence RandomOpened(Random& random) {
  model::OpenedSequence opened{
      .slot = Small(random),
      .sequence = random(),  // all 64 bits
      .prompt_size = Small(random),
      .num_computed = Small(random),
      .sampling = {.temperature = Real(random),
                   .top_k = Small(random),
                   .top_p = Real(random),
                   .min_p = Real(random),
                   .presence_penalty = Real(random),
                   .frequency_penalty = Real(random),
                   .repetition_penalty = Real(random),
                   .seed = random(),
                   .top_logprobs = static_cast<int32_t>(random() % 22) - 1},
      .end = {.ignore_stops = random() % 2 == 0, .min_tokens = Small(random), .max_size = Small(random)},
      .prompt_logprobs = static_cast<int32_t>(random() % 22) - 1,
  };
  for (uint64_t i = random() % 9; i > 0; --i) opened.tokens.push_back(Small(random));
  for (uint64_t i = random() % 4; i > 0; --i) opened.end.stop_tokens.push_back(Small(random));
  for (uint64_t i = random() % 4; i > 0; --i)
    opened.sampling.logit_bias.emplace_back(Small(random), Real(random));
  return opened;
}

model::GroupPlan RandomGroup(Random& random) {
  model::GroupPlan group;
  for (uint64_t i = random() % 4; i > 0; --i) group.closed.push_back(Small(random));
  for (uint64_t i = random() % 4; i > 0; --i) group.opened.push_back(RandomOpened(random));
  for (uint64_t i = random() % 4; i > 0; --i) {
    model::PageChange& change = group.pages.emplace_back();
    change.slot = Small(random);
    change.first = Small(random);
    for (uint64_t j = random() % 4; j > 0; --j) change.pages.push_back(Small(random));
  }
  const bool decodes = random() % 2 == 0, drafts = random() % 2 == 0, next_drafts = random() % 2 == 0;
  for (uint64_t i = random() % 6; i > 0; --i) {
    group.rows.push_back({.slot = Small(random),
                          .rows = decodes ? 1 : Small(random),
                          .drafts = drafts ? Small(random) : 0,
                          .next_drafts = next_drafts ? Small(random) : 0});
  }
  return group;
}

model::PositionLogprobs RandomLogprobs(Random& random) {
  model::PositionLogprobs logprobs{.chosen = {Small(random), Real(random)}};
  for (uint64_t i = random() % 5; i > 0; --i) logprobs.top.push_back({Small(random), Real(random)});
  return logprobs;
}

template <class Message>
Message OverTheWire(const Message& message) {
  Message received;
  EXPECT_TRUE(received.ParseFromString(message.SerializeAsString()));
  return received;
}

absl::StatusOr<model::RankStep> SentStep(const model::StepPlan& plan, int32_t group) {
  cluster::StepPlan received;
  EXPECT_TRUE(received.ParseFromString(*coordinator::EncodeStep(plan, group)));
  return worker::RankStepFromProto(received);
}

absl::StatusOr<model::RankResult> SentResult(const model::RankResult& result) {
  cluster::StepResult message;
  worker::RankResultToProto(result, &message);
  return coordinator::RankResultFromProto(OverTheWire(message));
}

// Compares the scheduler's bounds on messages with real messages. The values are the ones that take the most
// bytes.
TEST(ConversionsTest, NoPlanAndNoResultIsLargerThanItsBound) {
  constexpr int32_t kMost = std::numeric_limits<int32_t>::max();
  for (const size_t size : {0, 1, 7, 1000}) {
    SCOPED_TRACE(testing::Message() << size << " entries");
    model::OpenedSequence opened = {.slot = kMost,
                                    .sequence = UINT64_MAX,
                                    .prompt_size = kMost,
                                    .tokens = std::vector<TokenId>(size, kMost),
                                    .num_computed = kMost,
                                    .sampling = {.temperature = 1.5f,
                                                 .top_k = -1,
                                                 .top_p = 0.5f,
                                                 .min_p = 0.5f,
                                                 .presence_penalty = 0.5f,
                                                 .frequency_penalty = 0.5f,
                                                 .repetition_penalty = 0.5f,
                                                 .seed = UINT64_MAX,
                                                 .top_logprobs = -1},
                                    .end = {.stop_tokens = std::vector<TokenId>(size, kMost),
                                            .ignore_stops = true,
                                            .min_tokens = kMost,
                                            .max_size = kMost},
                                    .prompt_logprobs = -1};
    opened.sampling.logit_bias.assign(size, {kMost, 1.5f});
    const model::PageChange pages = {
        .slot = kMost, .first = kMost, .pages = std::vector<BlockId>(size, kMost)};
    const model::SequenceRows rows = {.slot = kMost, .rows = kMost, .drafts = 3, .next_drafts = 3};
    const model::StepPlan plan = {.header = {.epoch = UINT64_MAX,
                                             .step = UINT64_MAX,
                                             .rows_of_group = std::vector<int32_t>(size, kMost),
                                             .decodes_only = true,
                                             .drafting = std::vector(3, std::vector<int32_t>(size, kMost))},
                                  .groups = {{.closed = {kMost, kMost},
                                              .opened = {opened, opened},
                                              .pages = {pages, pages},
                                              .rows = {rows, rows}}}};
    const auto n = static_cast<int64_t>(size);
    EXPECT_LE(std::ssize(*coordinator::EncodeStep(plan, 0)),
              model::MostHeaderBytes(n) +
                  2 * (model::MostOpenedBytes(n, n, n, n) + model::kMostRowsBytes + model::kMostIdBytes));

    const model::PositionLogprobs position = {.chosen = {kMost, -1.5f},
                                              .top = std::vector<model::TokenLogprob>(size, {kMost, -1.5f})};
    model::SequenceResult answer = {.sequence = UINT64_MAX, .tokens = {kMost}, .logprobs = {position}};
    answer.prompt_logprobs.assign(5, position);
    const model::SequenceResult non_finite = {
        .sequence = UINT64_MAX,
        .non_finite = model::NonFiniteRow{
            .position = kMost, .token = kMost, .place = model::NonFiniteRow::Place::kHead, .layer = kMost}};
    cluster::StepResult ended;
    worker::RankResultToProto({.sequences = {non_finite, non_finite}}, &ended);
    EXPECT_LE(static_cast<int64_t>(ended.ByteSizeLong()), 2 * model::MostSequenceResultBytes(-1));
    cluster::StepResult result;
    worker::RankResultToProto({.sequences = {answer, answer}}, &result);
    EXPECT_LE(static_cast<int64_t>(result.ByteSizeLong()),
              2 * (model::MostSequenceResultBytes(n) + 5 * model::MostPositionLogprobsBytes(n)));
    const model::SequenceResult drafted = {.sequence = UINT64_MAX,
                                           .tokens = {kMost, kMost, kMost, kMost},
                                           .logprobs = {position, position, position, position}};
    cluster::StepResult of_drafts;
    worker::RankResultToProto({.sequences = {drafted, drafted}}, &of_drafts);
    EXPECT_LE(static_cast<int64_t>(of_drafts.ByteSizeLong()),
              2 * model::MostSequenceResultBytes(n, model::kMostSpeculativeTokens));
  }
}

// Each dp group is sent its own part.
TEST(ConversionsTest, AStepArrivesAsItWasSent) {
  Random random(1);
  for (int round = 0; round < 100; ++round) {
    model::StepPlan plan{.header = {.epoch = random(), .step = random(), .decodes_only = random() % 2 == 0}};
    for (uint64_t d = random() % 4; d > 0; --d)
      plan.header.drafting.push_back({Small(random), Small(random)});
    for (int group = 0; group < 2; ++group) {
      plan.header.rows_of_group.push_back(Small(random));
      plan.groups.push_back(RandomGroup(random));
    }
    for (int32_t group = 0; group < 2; ++group) {
      const auto received = SentStep(plan, group);
      ASSERT_TRUE(received.ok()) << received.status();
      EXPECT_EQ(received->header, plan.header);
      EXPECT_EQ(received->group, plan.groups[group]);
    }
  }
}

TEST(ConversionsTest, DefaultsThatAreNotZeroArrive) {
  const model::StepPlan plan{.header = {.epoch = 1, .step = 2, .rows_of_group = {0}},
                             .groups = {{.opened = {model::OpenedSequence{}}}}};
  const auto received = SentStep(plan, 0);
  ASSERT_TRUE(received.ok()) << received.status();
  EXPECT_EQ(received->group, plan.groups[0]);
}

TEST(ConversionsTest, RowsThatDoNotFitTheSlotsAreRefused) {
  cluster::StepPlan message;
  for (const int32_t slot : {1, 2, 3}) message.mutable_group()->add_slots(slot);
  const auto ones = worker::RankStepFromProto(message);
  ASSERT_TRUE(ones.ok()) << ones.status();
  EXPECT_EQ(ones->group.rows, (std::vector<model::SequenceRows>{{1, 1}, {2, 1}, {3, 1}}));
  for (const int32_t rows : {4, 5}) message.mutable_group()->add_rows(rows);
  EXPECT_TRUE(absl::IsInvalidArgument(worker::RankStepFromProto(message).status()));
  message.mutable_group()->clear_slots();
  EXPECT_TRUE(absl::IsInvalidArgument(worker::RankStepFromProto(message).status()));
}

TEST(ConversionsTest, DraftsThatDoNotFitTheSlotsOrTheGroupsAreRefused) {
  cluster::StepPlan message;
  for (const int32_t slot : {1, 2, 3}) message.mutable_group()->add_slots(slot);
  for (const int32_t rows : {5, 6}) message.add_rows_of_group(rows);
  ASSERT_TRUE(worker::RankStepFromProto(message).ok());
  cluster::StepPlan drafts = message, next_drafts = message, drafting = message;
  drafts.mutable_group()->add_drafts(1);
  EXPECT_TRUE(absl::IsInvalidArgument(worker::RankStepFromProto(drafts).status()));
  next_drafts.mutable_group()->add_next_drafts(1);
  EXPECT_TRUE(absl::IsInvalidArgument(worker::RankStepFromProto(next_drafts).status()));
  for (const int32_t sequences : {3, 2, 1}) drafting.add_drafting(sequences);
  EXPECT_TRUE(absl::IsInvalidArgument(worker::RankStepFromProto(drafting).status()));
}

TEST(ConversionsTest, AResultArrivesAsItWasSent) {
  Random random(2);
  for (int round = 0; round < 100; ++round) {
    model::RankResult result{.epoch = random(), .step = random(), .timings = {0.25, 0.125}};
    const bool one_each = random() % 2 == 0;
    for (uint64_t i = random() % 6; i > 0; --i) {
      model::SequenceResult sequence{.sequence = random()};
      for (uint64_t j = one_each ? 1 : random() % 4; j > 0; --j) {
        sequence.tokens.push_back(Small(random));
        if (i % 2 == 0) sequence.logprobs.push_back(RandomLogprobs(random));
      }
      for (uint64_t j = random() % 4; j > 0; --j) sequence.prompt_logprobs.push_back(RandomLogprobs(random));
      if (random() % 5 == 0) sequence.refused = "token 131 of 131";
      result.sequences.push_back(std::move(sequence));
    }
    const auto received = SentResult(result);
    ASSERT_TRUE(received.ok()) << received.status();
    EXPECT_EQ(received->epoch, result.epoch);
    EXPECT_EQ(received->step, result.step);
    EXPECT_EQ(received->sequences, result.sequences);
    EXPECT_EQ(received->timings.total_seconds, result.timings.total_seconds);
    EXPECT_EQ(received->timings.collective_seconds, result.timings.collective_seconds);
  }
}

TEST(ConversionsTest, AResultWhosePartsDoNotFitIsRefused) {
  cluster::StepResult good;
  for (const uint64_t sequence : {7, 8}) good.add_sequences(sequence);
  for (const int32_t token : {1, 2}) good.add_tokens(token);
  EXPECT_TRUE(coordinator::RankResultFromProto(good).ok());
  const auto refused = [&](const std::function<void(cluster::StepResult&)>& spoil) {
    cluster::StepResult message = good;
    spoil(message);
    return absl::IsInternal(coordinator::RankResultFromProto(message).status());
  };
  EXPECT_TRUE(refused([](auto& m) { m.add_tokens(3); }));
  EXPECT_TRUE(refused([](auto& m) { m.clear_tokens(); }));
  EXPECT_TRUE(refused([](auto& m) { m.add_token_counts(2); }));
  EXPECT_TRUE(refused([](auto& m) {
    for (const int32_t count : {-1, 3}) m.add_token_counts(count);
  }));
  EXPECT_TRUE(refused([](auto& m) {
    for (const int32_t count : {0, INT32_MAX}) m.add_token_counts(count);
  }));
  EXPECT_TRUE(refused([](auto& m) { m.add_details()->set_index(2); }));
  EXPECT_TRUE(refused([](auto& m) { m.add_details()->set_index(-1); }));
  EXPECT_FALSE(refused([](auto& m) {
    for (const int32_t count : {2, 0}) m.add_token_counts(count);
  }));
}

TEST(ConversionsTest, ARowThatIsNotFiniteArrivesAsItWasSent) {
  using Place = model::NonFiniteRow::Place;
  for (const Place place : {Place::kUnknown, Place::kKvEntry, Place::kHiddenState, Place::kHead}) {
    const model::NonFiniteRow row = {.position = 17, .token = 5, .place = place, .layer = 60};
    cluster::StepResult message;
    worker::RankResultToProto({.sequences = {{.sequence = 1, .non_finite = row}, {.sequence = 2}}}, &message);
    const auto received = coordinator::RankResultFromProto(OverTheWire(message));
    ASSERT_TRUE(received.ok()) << received.status();
    EXPECT_EQ(received->sequences[0].non_finite, row);
    EXPECT_EQ(received->sequences[1].non_finite, std::nullopt);
    message.mutable_details(0)->mutable_non_finite()->set_place(77);
    EXPECT_EQ(coordinator::RankResultFromProto(message)->sequences[0].non_finite->place, Place::kUnknown);
  }
}

cluster::LoadRequest GoodLoadRequest() {
  cluster::LoadRequest request;
  request.set_epoch(3);
  request.set_rank(5);
  request.mutable_layout()->set_tp(2);
  request.mutable_layout()->set_dp(2);
  request.mutable_layout()->set_ep(4);
  request.mutable_layout()->set_pp(2);
  request.set_model_path("/models/r1");
  request.set_compute("bf16");
  request.set_load_format("dummy");
  request.set_kv_cache_type("fp8");
  request.set_expert_exchange("all_to_all");
  request.set_prefill_attention("absorbed");
  request.set_speculative_tokens(3);
  request.set_kv_bytes(int64_t{1} << 40);
  request.set_max_step_tokens(512);
  request.set_max_sequences(64);
  return request;
}

TEST(ConversionsTest, ALoadRequestBecomesEngineOptions) {
  constraint::VocabularyKeeper vocabularies;
  const auto options = worker::EngineOptionsFromProto(GoodLoadRequest(), vocabularies);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->model_path, "/models/r1");
  EXPECT_EQ(options->layout, (model::Layout{.tp = 2, .dp = 2, .ep = 4, .pp = 2}));
  EXPECT_EQ(options->rank, 5);
  EXPECT_EQ(options->epoch, 3u);
  EXPECT_EQ(options->compute, DType::kBF16);
  EXPECT_EQ(options->load_format, model::LoadFormat::kDummy);
  EXPECT_EQ(options->kv_cache_type(), DType::kF8E4M3);
  EXPECT_EQ(options->expert_exchange, model::ExpertExchange::kAllToAll);
  EXPECT_EQ(options->prefill_attention, model::PrefillAttention::kAbsorbed);
  EXPECT_EQ(options->speculative_tokens, 3);
  EXPECT_EQ(options->kv_bytes, int64_t{1} << 40);
  EXPECT_EQ(options->max_step_tokens, 512);
}

// A later load of the same model makes no vocabulary.
TEST(ConversionsTest, EqualTokensAreOneVocabulary) {
  constraint::VocabularyKeeper vocabularies;
  cluster::LoadRequest request = GoodLoadRequest();
  for (const char* text : {"a", "b", ""}) request.add_token_texts(text);
  request.set_vocab_size(3);
  request.add_end_tokens(2);
  const auto once = worker::EngineOptionsFromProto(request, vocabularies);
  const auto again = worker::EngineOptionsFromProto(request, vocabularies);
  ASSERT_TRUE(once.ok() && again.ok()) << once.status() << again.status();
  ASSERT_NE(once->vocabulary, nullptr);
  EXPECT_EQ(once->vocabulary, again->vocabulary);
  request.set_token_texts(1, "c");
  const auto other = worker::EngineOptionsFromProto(request, vocabularies);
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_NE(other->vocabulary, once->vocabulary);
}

TEST(ConversionsTest, ALoadRequestThatMakesNoSenseIsRefused) {
  constraint::VocabularyKeeper vocabularies;
  const auto refused = [&](const std::function<void(cluster::LoadRequest&)>& spoil) {
    cluster::LoadRequest request = GoodLoadRequest();
    spoil(request);
    return absl::IsInvalidArgument(worker::EngineOptionsFromProto(request, vocabularies).status());
  };
  EXPECT_FALSE(refused([](cluster::LoadRequest&) {}));
  EXPECT_TRUE(refused([](cluster::LoadRequest& r) { r.set_compute("f16"); }));
  EXPECT_TRUE(refused([](cluster::LoadRequest& r) { r.set_load_format("gguf"); }));
  EXPECT_TRUE(refused([](cluster::LoadRequest& r) { r.set_kv_cache_type("f16"); }));
  EXPECT_TRUE(refused([](cluster::LoadRequest& r) { r.set_expert_exchange("by_post"); }));
  EXPECT_TRUE(refused([](cluster::LoadRequest& r) { r.set_prefill_attention("both"); }));
  EXPECT_TRUE(refused([](cluster::LoadRequest& r) { r.set_speculative_tokens(4); }));
  EXPECT_TRUE(refused([](cluster::LoadRequest& r) { r.set_speculative_tokens(-1); }));
  EXPECT_TRUE(refused([](cluster::LoadRequest& r) { r.set_rank(8); }));
  EXPECT_TRUE(refused([](cluster::LoadRequest& r) { r.set_rank(-1); }));
  EXPECT_TRUE(refused([](cluster::LoadRequest& r) { r.clear_layout(); }));
  EXPECT_TRUE(refused([](cluster::LoadRequest& r) { r.mutable_layout()->set_tp(1 << 30); }));
  EXPECT_TRUE(refused([](cluster::LoadRequest& r) { r.mutable_layout()->set_ep(-4); }));
  EXPECT_TRUE(refused([](cluster::LoadRequest& r) { r.set_kv_bytes(-1); }));
  EXPECT_TRUE(refused([](cluster::LoadRequest& r) { r.set_max_step_tokens(0); }));
  EXPECT_TRUE(refused([](cluster::LoadRequest& r) { r.set_max_context(-2); }));
}

}  // namespace
}  // namespace deeprack
