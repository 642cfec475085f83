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

model::SequencePlan RandomSequence(Random& random) {
  model::SequencePlan sequence{
      .sequence = random(),  // all 64 bits
      .dp_rank = Small(random),
      .prompt_size = Small(random),
      .num_computed = Small(random),
      .sample = random() % 2 == 0,
      .sampling = {.temperature = Real(random),
                   .top_k = Small(random),
                   .top_p = Real(random),
                   .min_p = Real(random),
                   .presence_penalty = Real(random),
                   .frequency_penalty = Real(random),
                   .repetition_penalty = Real(random),
                   .seed = random(),
                   .top_logprobs = static_cast<int32_t>(random() % 22) - 1},
      .prompt_logprobs = static_cast<int32_t>(random() % 22) - 1,
      .next_prompt_token = Small(random) - 1,
  };
  for (uint64_t i = random() % 9; i > 0; --i) sequence.token_ids.push_back(Small(random));
  for (uint64_t i = random() % 9; i > 0; --i) sequence.block_table.push_back(Small(random));
  for (uint64_t i = random() % 4; i > 0; --i)
    sequence.sampling.logit_bias.emplace_back(Small(random), Real(random));
  for (uint64_t i = random() % 4; i > 0; --i) {
    sequence.token_counts.push_back({Small(random), Small(random), Small(random)});
  }
  return sequence;
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

// Compares the scheduler's bounds on messages with real messages. The values are the ones that take the most
// bytes.
TEST(ConversionsTest, NoPlanAndNoResultIsLargerThanItsBound) {
  constexpr int32_t kMost = std::numeric_limits<int32_t>::max();
  for (const size_t size : {0, 1, 7, 1000}) {
    SCOPED_TRACE(testing::Message() << size << " entries");
    model::SequencePlan sequence = {.sequence = UINT64_MAX,
                                    .dp_rank = kMost,
                                    .prompt_size = kMost,
                                    .num_computed = kMost,
                                    .token_ids = std::vector<TokenId>(size, kMost),
                                    .block_table = std::vector<BlockId>(size, kMost),
                                    .sample = true,
                                    .sampling = {.temperature = 1.5f,
                                                 .top_k = -1,
                                                 .top_p = 0.5f,
                                                 .min_p = 0.5f,
                                                 .presence_penalty = 0.5f,
                                                 .frequency_penalty = 0.5f,
                                                 .repetition_penalty = 0.5f,
                                                 .seed = UINT64_MAX,
                                                 .top_logprobs = -1},
                                    .prompt_logprobs = -1,
                                    .next_prompt_token = -1};
    sequence.sampling.logit_bias.assign(size, {kMost, 1.5f});
    sequence.token_counts.assign(size, {kMost, kMost, kMost});
    cluster::StepPlan plan;
    coordinator::StepPlanToProto({.epoch = UINT64_MAX, .step = UINT64_MAX, .sequences = {sequence, sequence}},
                                 &plan);
    const auto n = static_cast<int64_t>(size);
    EXPECT_LE(
        static_cast<int64_t>(plan.ByteSizeLong()),
        model::kMostPlanHeaderBytes + 2 * (model::MostSequencePlanBytes(n, n, n) + n * model::kMostIdBytes));

    const model::PositionLogprobs position = {.chosen = {kMost, -1.5f},
                                              .top = std::vector<model::TokenLogprob>(size, {kMost, -1.5f})};
    model::SequenceResult answer = {
        .sequence = UINT64_MAX, .sampled = true, .token = kMost, .logprobs = position};
    answer.prompt_logprobs.assign(5, position);
    const model::SequenceResult non_finite = {
        .sequence = UINT64_MAX,
        .non_finite = model::NonFiniteRow{
            .position = kMost, .token = kMost, .place = model::NonFiniteRow::Place::kHead, .layer = kMost}};
    cluster::StepResult ended;
    worker::StepResultToProto({.sequences = {non_finite, non_finite}}, &ended);
    EXPECT_LE(static_cast<int64_t>(ended.ByteSizeLong()), 2 * model::MostSequenceResultBytes(-1));
    cluster::StepResult result;
    worker::StepResultToProto({.sequences = {answer, answer}}, &result);
    EXPECT_LE(static_cast<int64_t>(result.ByteSizeLong()),
              2 * (model::MostSequenceResultBytes(n) + 5 * model::MostPositionLogprobsBytes(n)));
  }
}

TEST(ConversionsTest, AStepPlanArrivesAsItWasSent) {
  Random random(1);
  for (int round = 0; round < 100; ++round) {
    model::StepPlan plan{.epoch = random(), .step = random()};
    for (uint64_t i = random() % 6; i > 0; --i) plan.sequences.push_back(RandomSequence(random));
    cluster::StepPlan message;
    coordinator::StepPlanToProto(plan, &message);
    EXPECT_EQ(worker::StepPlanFromProto(OverTheWire(message)), plan);
  }
}

TEST(ConversionsTest, ADefaultPlanKeepsDefaultsThatAreNotZero) {
  const model::StepPlan plan{.epoch = 1, .step = 2, .sequences = {model::SequencePlan{.token_ids = {0}}}};
  cluster::StepPlan message;
  coordinator::StepPlanToProto(plan, &message);
  EXPECT_EQ(worker::StepPlanFromProto(OverTheWire(message)), plan);
}

TEST(ConversionsTest, AStepResultArrivesAsItWasSent) {
  Random random(2);
  for (int round = 0; round < 100; ++round) {
    model::StepResult result{.epoch = random(), .step = random(), .timings = {0.25, 0.125}};
    for (uint64_t i = random() % 6; i > 0; --i) {
      model::SequenceResult sequence{.sequence = random(),
                                     .sampled = random() % 2 == 0,
                                     .token = Small(random),
                                     .logprobs = RandomLogprobs(random)};
      for (uint64_t j = random() % 4; j > 0; --j) sequence.prompt_logprobs.push_back(RandomLogprobs(random));
      result.sequences.push_back(std::move(sequence));
    }
    cluster::StepResult message;
    worker::StepResultToProto(result, &message);
    const model::StepResult received = coordinator::StepResultFromProto(OverTheWire(message));
    EXPECT_EQ(received.epoch, result.epoch);
    EXPECT_EQ(received.step, result.step);
    EXPECT_EQ(received.sequences, result.sequences);
    EXPECT_EQ(received.timings.total_seconds, result.timings.total_seconds);
    EXPECT_EQ(received.timings.collective_seconds, result.timings.collective_seconds);
  }
}

TEST(ConversionsTest, ARowThatIsNotFiniteArrivesAsItWasSent) {
  using Place = model::NonFiniteRow::Place;
  for (const Place place : {Place::kUnknown, Place::kKvEntry, Place::kHiddenState, Place::kHead}) {
    const model::NonFiniteRow row = {.position = 17, .token = 5, .place = place, .layer = 60};
    cluster::StepResult message;
    worker::StepResultToProto({.sequences = {{.sequence = 1, .non_finite = row}, {.sequence = 2}}}, &message);
    const model::StepResult received = coordinator::StepResultFromProto(OverTheWire(message));
    EXPECT_EQ(received.sequences[0].non_finite, row);
    EXPECT_EQ(received.sequences[1].non_finite, std::nullopt);
    message.mutable_sequences(0)->mutable_non_finite()->set_place(77);
    EXPECT_EQ(coordinator::StepResultFromProto(message).sequences[0].non_finite->place, Place::kUnknown);
  }
}

TEST(ConversionsTest, ARefusalArrivesAsItWasSent) {
  cluster::StepResult message;
  worker::StepResultToProto({.epoch = 3, .step = 4, .refusal = model::Refusal{7, "token 131 of 131"}},
                            &message);
  const model::StepResult received = coordinator::StepResultFromProto(OverTheWire(message));
  EXPECT_EQ(received.refusal, (model::Refusal{7, "token 131 of 131"}));
  EXPECT_EQ(received.step, 4u);
  EXPECT_EQ(coordinator::StepResultFromProto({}).refusal, std::nullopt);
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
  request.set_kv_bytes(int64_t{1} << 40);
  request.set_max_step_tokens(512);
  request.set_max_sequences(64);
  return request;
}

TEST(ConversionsTest, ALoadRequestBecomesEngineOptions) {
  const auto options = worker::EngineOptionsFromProto(GoodLoadRequest());
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
  EXPECT_EQ(options->kv_bytes, int64_t{1} << 40);
  EXPECT_EQ(options->max_step_tokens, 512);
}

TEST(ConversionsTest, ALoadRequestThatMakesNoSenseIsRefused) {
  const auto refused = [](const std::function<void(cluster::LoadRequest&)>& spoil) {
    cluster::LoadRequest request = GoodLoadRequest();
    spoil(request);
    return absl::IsInvalidArgument(worker::EngineOptionsFromProto(request).status());
  };
  EXPECT_FALSE(refused([](cluster::LoadRequest&) {}));
  EXPECT_TRUE(refused([](cluster::LoadRequest& r) { r.set_compute("f16"); }));
  EXPECT_TRUE(refused([](cluster::LoadRequest& r) { r.set_load_format("gguf"); }));
  EXPECT_TRUE(refused([](cluster::LoadRequest& r) { r.set_kv_cache_type("f16"); }));
  EXPECT_TRUE(refused([](cluster::LoadRequest& r) { r.set_expert_exchange("by_post"); }));
  EXPECT_TRUE(refused([](cluster::LoadRequest& r) { r.set_prefill_attention("both"); }));
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
