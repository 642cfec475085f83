// `deeprack plan` prints exactly the bytes that ranks take, on the CPU and on cards.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "checkpoint/checkpoint_reader.h"
#include "cli/plan/cluster_plan.h"
#include "cli/quantize/quantize.h"
#include "model/files/model_files.h"
#include "tests/source_tree.h"
#include "tests/unit/engine/card.h"
#include "tests/unit/engine/rack.h"
#include "tests/unit/engine/tiny_checkpoint.h"
#include "worker/device/cpu_device.h"

namespace deeprack::worker::testing {
namespace {

enum class On { kCpu, kPlainCard, kHopperCard };

std::unique_ptr<Device> MakeDevice(On on) {
  switch (on) {
    case On::kCpu:
      return MakeCpuDevice(1);
    case On::kPlainCard:
      return MakeCard(nullptr);
    case On::kHopperCard:
      return MakeHopperCard(nullptr);
  }
  return nullptr;
}

cli::PlannedDevice PlannedOf(On on) {
  cli::PlannedDevice planned = cli::PlannedDeviceOf(on == On::kCpu ? "cpu" : "cuda", on == On::kHopperCard);
  if (on != On::kCpu) planned.multiprocessors = MakeDevice(on)->execution().multiprocessors;
  return planned;
}

struct Case {
  model::Layout layout = {};
  std::string expert_exchange = "replicated";
  std::string prefill_attention = "expanded";
  std::string kv_cache_dtype = "auto";
  std::string compute = "bf16";
  std::string speculative_tokens = "0";
};

const Case kCases[] = {
    {},
    {.prefill_attention = "absorbed"},
    {.kv_cache_dtype = "fp8"},
    {.compute = "f32"},
    {.layout = {.tp = 2, .ep = 2}},
    {.layout = {.tp = 2, .ep = 1, .pp = 2}, .prefill_attention = "absorbed", .kv_cache_dtype = "fp8"},
    {.layout = {.dp = 2, .ep = 2}, .expert_exchange = "all_to_all"},
    {.layout = {.tp = 2, .dp = 2, .ep = 4}, .expert_exchange = "all_to_all", .kv_cache_dtype = "fp8"},
};

EngineOptions EngineOptionsOf(const std::string& folder, const Case& c) {
  EngineOptions options = TinyOptions(folder, c.compute == "f32" ? DType::kF32 : DType::kBF16, c.layout,
                                      c.expert_exchange == "all_to_all" ? model::ExpertExchange::kAllToAll
                                                                        : model::ExpertExchange::kReplicated);
  options.prefill_attention = c.prefill_attention == "absorbed" ? model::PrefillAttention::kAbsorbed
                                                                : model::PrefillAttention::kExpanded;
  if (c.kv_cache_dtype == "fp8") options.kv_cache = DType::kF8E4M3;
  options.speculative_tokens = model::SpeculativeTokensOf(c.speculative_tokens);
  options.max_step_tokens = 300;
  options.max_context = 256;
  return options;
}

Settings SettingsOf(const EngineOptions& engine, const Case& c) {
  Settings options;
  options.tp = c.layout.tp, options.dp = c.layout.dp, options.pp = c.layout.pp, options.ep = c.layout.ep;
  options.compute = c.compute;
  options.kv_cache_dtype = c.kv_cache_dtype;
  options.expert_exchange = c.expert_exchange;
  options.prefill_attention = c.prefill_attention;
  options.speculative_tokens = c.speculative_tokens;
  options.max_context = engine.max_context;
  options.max_step_tokens = engine.max_step_tokens;
  options.max_sequences = engine.max_sequences;
  options.kv_bytes = engine.kv_bytes;
  return options;
}

// Makes the plan without the device, from cli/plan's description of its kind.
void ExpectAsPlanned(const std::string& folder, On on, const Case& c) {
  const EngineOptions options = EngineOptionsOf(folder, c);
  const auto rack = Rack::Create(options, [on] { return MakeDevice(on); });
  ASSERT_TRUE(rack.ok()) << rack.status();
  const auto config = model::LoadModelConfig(folder);
  ASSERT_TRUE(config.ok()) << config.status();
  const auto reader = checkpoint::CheckpointReader::Open(folder);
  ASSERT_TRUE(reader.ok()) << reader.status();
  const cli::PlannedDevice device = PlannedOf(on);
  const auto forms = sizing::WeightFormsOf(*config, *reader, device.kernels);
  ASSERT_TRUE(forms.ok()) << forms.status();
  const auto plan = cli::PlanCluster(*config, *forms, device, SettingsOf(options, c), 0);
  ASSERT_TRUE(plan.ok()) << plan.status();
  for (Rank rank = 0; rank < (*rack)->size(); ++rank) {
    const EngineMemory& taken = (*rack)->engine(rank).memory();
    const sizing::RankFootprint& planned = plan->ranks[static_cast<size_t>(rank)];
    EXPECT_EQ(planned.weights, taken.weight_bytes);
    EXPECT_EQ(planned.fixed() - planned.weights, taken.workspace_bytes);
    EXPECT_EQ(plan->Pages(), taken.kv_blocks);
    EXPECT_EQ(plan->Pages() * planned.page, taken.kv_bytes);
  }
}

class PlanAgreementTest : public ::testing::TestWithParam<On> {};

TEST_P(PlanAgreementTest, SmallModels) {
  std::vector<TinyModel> models = {{.aligned = true}, {.int4 = true, .aligned = true}, {}};
  for (const TinyModel& model : models) {
    const std::string folder = WriteTinyCheckpoint(model);
    // A checkpoint without the MTP layer is served without.
    ExpectAsPlanned(folder, GetParam(), {.speculative_tokens = "2"});
    for (const Case& c : kCases) {
      SCOPED_TRACE(::testing::Message()
                   << "aligned " << model.aligned << ", int4 " << model.int4 << ", " << ToString(c.layout)
                   << ", " << c.prefill_attention << ", " << c.kv_cache_dtype << ", " << c.compute);
      ExpectAsPlanned(folder, GetParam(), c);
    }
  }
}

TEST_P(PlanAgreementTest, TheDemoModel) {
  const std::string folder = InSourceTree("demo/model");
  ExpectAsPlanned(folder, GetParam(), {});
  ExpectAsPlanned(folder, GetParam(), {.layout = {.tp = 2, .ep = 2}, .kv_cache_dtype = "fp8"});
  ExpectAsPlanned(folder, GetParam(), {.speculative_tokens = "1"});
  ExpectAsPlanned(
      folder, GetParam(),
      {.layout = {.tp = 2, .ep = 1, .pp = 2}, .kv_cache_dtype = "fp8", .speculative_tokens = "auto"});
}

// The layers of the file have several types.
TEST_P(PlanAgreementTest, AGgufWithAnMtpLayer) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/plan_agreement_", getpid(), ".gguf");
  const auto written =
      cli::RunQuantize({.in = InSourceTree("demo/model"), .out = path, .type = "Q2_K", .threads = 1});
  ASSERT_TRUE(written.ok()) << written.status();
  ExpectAsPlanned(path, GetParam(), {.speculative_tokens = "2"});
  ExpectAsPlanned(path, GetParam(), {.layout = {.tp = 2, .ep = 2, .pp = 2}, .speculative_tokens = "1"});
  std::filesystem::remove(path);
}

// Memory that only cards take is counted. Without a checkpoint, the config gives the same numbers.
TEST_P(PlanAgreementTest, FromTheConfigAlone) {
  const std::string folder = WriteTinyCheckpoint({.aligned = true});
  const Case c = {.layout = {.tp = 2, .dp = 2, .ep = 4}, .expert_exchange = "all_to_all"};
  const auto config = model::LoadModelConfig(folder);
  const auto reader = checkpoint::CheckpointReader::Open(folder);
  ASSERT_TRUE(config.ok() && reader.ok()) << config.status() << reader.status();
  const cli::PlannedDevice device = PlannedOf(GetParam());
  const auto forms = sizing::WeightFormsOf(*config, *reader, device.kernels);
  ASSERT_TRUE(forms.ok()) << forms.status();
  const Settings options = SettingsOf(EngineOptionsOf(folder, c), c);
  const auto plan = cli::PlanCluster(*config, *forms, device, options, 0);
  const auto by_config =
      cli::PlanCluster(*config, sizing::WeightFormsOf(*config, device.kernels), device, options, 0);
  ASSERT_TRUE(plan.ok() && by_config.ok()) << plan.status() << by_config.status();
  const sizing::RankFootprint& rank = plan->ranks[3];
  EXPECT_EQ(rank.fixed(), by_config->ranks[3].fixed());
  EXPECT_EQ(rank.scratch() > 0, GetParam() != On::kCpu);
  EXPECT_EQ(rank.weight_tables > 0, GetParam() != On::kCpu);
  EXPECT_EQ(rank.peers.sums.places > 0 && rank.peers.exchanges.places > 0, GetParam() == On::kHopperCard);
}

INSTANTIATE_TEST_SUITE_P(Devices, PlanAgreementTest,
                         ::testing::Values(On::kCpu, On::kPlainCard, On::kHopperCard), [](const auto& info) {
                           return info.param == On::kCpu         ? "Cpu"
                                  : info.param == On::kPlainCard ? "PlainCard"
                                                                 : "HopperCard";
                         });

}  // namespace
}  // namespace deeprack::worker::testing
