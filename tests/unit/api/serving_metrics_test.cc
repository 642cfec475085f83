// The values of /metrics, under the names and labels that vLLM's dashboards read.
#include "coordinator/api/serving_metrics.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/api/api_server.h"

namespace deeprack::coordinator {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// The value of the line that begins with `name`; "" if there is none.
std::string ValueOf(const std::string& text, const std::string& name) {
  const size_t line = ("\n" + text).find("\n" + name + " ");
  if (line == std::string::npos) return "";
  const size_t begin = line + name.size() + 1;
  return text.substr(begin, text.find('\n', begin) - begin);
}

std::string Bucket(const std::string& name, const std::string& le) {
  return absl::StrCat(name, "_bucket{model_name=\"m\",le=\"", le, "\"}");
}

std::string Plain(const std::string& name) { return absl::StrCat(name, "{model_name=\"m\"}"); }

TEST(ServingMetrics, ASequencesEndFillsItsHistograms) {
  ServingMetrics metrics("m");
  const absl::Time begin = absl::FromUnixSeconds(1000);
  metrics.ObserveEnd({.reason = "stop",
                      .times = {.arrival = begin,
                                .first_scheduled = begin + absl::Seconds(1),
                                .first_token = begin + absl::Seconds(3),
                                .end = begin + absl::Seconds(7)},
                      .prompt_tokens = 130,
                      .cached_tokens = 128,
                      .generated_tokens = 5,
                      .max_tokens = 40,
                      .preemptions = 2});
  metrics.ObservePromptEnd(/*n=*/3, /*most_generated=*/5);
  const std::string text = metrics.Render(std::nullopt);
  const auto sum = [&](const std::string& name) { return ValueOf(text, Plain(name + "_sum")); };
  EXPECT_EQ(sum("vllm:request_inference_time_seconds"), "6");
  EXPECT_EQ(sum("vllm:request_queue_time_seconds"), "1");
  EXPECT_EQ(sum("vllm:request_prefill_time_seconds"), "2");
  EXPECT_EQ(sum("vllm:request_decode_time_seconds"), "4");
  EXPECT_EQ(sum("vllm:e2e_request_latency_seconds"), "7");
  EXPECT_EQ(sum("vllm:request_time_per_output_token_seconds"), "1");
  EXPECT_EQ(sum("vllm:request_prompt_tokens"), "130");
  EXPECT_EQ(sum("vllm:request_prefill_kv_computed_tokens"), "2");
  EXPECT_EQ(sum("vllm:request_generation_tokens"), "5");
  EXPECT_EQ(sum("vllm:request_params_max_tokens"), "40");
  EXPECT_EQ(sum("vllm:request_num_preemptions"), "2");
  EXPECT_EQ(sum("vllm:request_params_n"), "3");
  EXPECT_EQ(sum("vllm:request_max_num_generation_tokens"), "5");
  EXPECT_EQ(ValueOf(text, Bucket("vllm:request_num_preemptions", "1")), "0");
  EXPECT_EQ(ValueOf(text, Bucket("vllm:request_num_preemptions", "2")), "1");
  EXPECT_EQ(ValueOf(text, Bucket("vllm:request_params_n", "2")), "0");
  EXPECT_EQ(ValueOf(text, Bucket("vllm:request_params_n", "5")), "1");
  EXPECT_EQ(ValueOf(text, Bucket("vllm:request_params_max_tokens", "20")), "0");
  EXPECT_EQ(ValueOf(text, Bucket("vllm:request_params_max_tokens", "50")), "1");
}

TEST(ServingMetrics, ASequenceThatNeverRanHasNoInferenceTime) {
  ServingMetrics metrics("m");
  const absl::Time begin = absl::FromUnixSeconds(1000);
  metrics.ObserveEnd({.reason = "abort", .times = {.arrival = begin, .end = begin + absl::Seconds(4)}});
  const std::string text = metrics.Render(std::nullopt);
  EXPECT_EQ(ValueOf(text, Plain("vllm:request_queue_time_seconds_sum")), "4");
  EXPECT_EQ(ValueOf(text, Plain("vllm:request_inference_time_seconds_count")), "0");
  EXPECT_EQ(ValueOf(text, Plain("vllm:request_prefill_kv_computed_tokens_count")), "0");
  EXPECT_EQ(ValueOf(text, Plain("vllm:request_num_preemptions_count")), "1");
}

TEST(ServingMetrics, TheSchedulersTotalsAreRendered) {
  ServingStats stats = {.running = 2,
                        .waiting = 3,
                        .blocks_used = 10,
                        .blocks_total = 40,
                        .prompt_tokens = 500,
                        .generation_tokens = 70,
                        .cached_prompt_tokens = 128,
                        .sequences_refused = 4,
                        .non_finite_logits = 5};
  for (const int64_t tokens : {1, 8, 9, 16384, 20000}) stats.step_tokens.Add(tokens);
  ServingMetrics metrics("m");
  const std::string text = metrics.Render(stats);
  const auto labelled = [&](const std::string& name, const std::string& label) {
    return ValueOf(text, absl::StrCat(name, "{model_name=\"m\",", label, "}"));
  };
  EXPECT_EQ(ValueOf(text, Plain("vllm:num_requests_waiting")), "3");
  EXPECT_EQ(labelled("vllm:num_requests_waiting_by_reason", "reason=\"capacity\""), "3");
  EXPECT_EQ(labelled("vllm:num_requests_waiting_by_reason", "reason=\"deferred\""), "0");
  EXPECT_EQ(labelled("vllm:prompt_tokens_by_source_total", "source=\"local_compute\""), "372");
  EXPECT_EQ(labelled("vllm:prompt_tokens_by_source_total", "source=\"local_cache_hit\""), "128");
  EXPECT_EQ(ValueOf(text, Plain("vllm:prompt_tokens_cached_total")), "128");
  EXPECT_EQ(ValueOf(text, Plain("deeprack:plans_refused_total")), "4");
  EXPECT_EQ(ValueOf(text, Plain("deeprack:non_finite_logits_total")), "5");
  const std::string steps = "vllm:iteration_tokens_total";
  EXPECT_EQ(ValueOf(text, Bucket(steps, "1")), "1");
  EXPECT_EQ(ValueOf(text, Bucket(steps, "8")), "2");
  EXPECT_EQ(ValueOf(text, Bucket(steps, "16")), "3");
  EXPECT_EQ(ValueOf(text, Bucket(steps, "8192")), "3");
  EXPECT_EQ(ValueOf(text, Bucket(steps, "16384")), "4");
  EXPECT_EQ(ValueOf(text, Bucket(steps, "+Inf")), "5");
  EXPECT_EQ(ValueOf(text, Plain(steps + "_count")), "5");
  EXPECT_EQ(ValueOf(text, Plain(steps + "_sum")), "36402");
}

TEST(ServingMetrics, TheCachesConfigurationIsKnownOnceTheRanksHaveLoaded) {
  ServingMetrics metrics("m");
  const ServingStats stats = {.blocks_total = 40};
  EXPECT_THAT(metrics.Render(stats), Not(HasSubstr("cache_config_info")));
  metrics.SetCacheType("fp8");
  EXPECT_EQ(ValueOf(metrics.Render(stats),
                    "vllm:cache_config_info{model_name=\"m\",block_size=\"64\",cache_dtype=\"fp8\",enable_"
                    "prefix_caching="
                    "\"True\",kv_cache_size_tokens=\"2560\",num_gpu_blocks=\"40\"}"),
            "1");
  EXPECT_THAT(metrics.Render(std::nullopt), Not(HasSubstr("cache_config_info")));
}

// Two prompts of three tokens with two answers each. Each step computes prompts or one token of each answer.
TEST(ServingMetrics, ARequestIsCountedByPromptsAnswersAndSteps) {
  ApiServer server;
  server.BecomeReady();
  EXPECT_EQ(
      server.Post("/v1/completions", R"({"prompt": [[1, 2, 3], [4, 5, 6]], "n": 2, "max_tokens": 4})").status,
      200);
  ASSERT_TRUE(server.BecomesIdle());
  const std::string text = server.Get("/metrics").body;
  const auto value = [&](const std::string& name) { return ValueOf(text, name + "{model_name=\"bytes\"}"); };
  EXPECT_EQ(value("vllm:request_params_n_count"), "2");
  EXPECT_EQ(value("vllm:request_params_n_sum"), "4");
  EXPECT_EQ(value("vllm:request_max_num_generation_tokens_sum"), "8");
  EXPECT_EQ(value("vllm:request_params_max_tokens_count"), "4");
  EXPECT_EQ(value("vllm:request_params_max_tokens_sum"), "16");
  EXPECT_EQ(value("vllm:request_inference_time_seconds_count"), "4");
  EXPECT_EQ(value("vllm:request_prefill_kv_computed_tokens_sum"), "12");
  EXPECT_EQ(value("vllm:request_num_preemptions_sum"), "0");
  EXPECT_EQ(value("vllm:iteration_tokens_total_sum"), "24");  // 4 prompts of 3, and 4 times 3 decodes
}

}  // namespace
}  // namespace deeprack::coordinator
