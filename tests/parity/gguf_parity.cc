// Compares a GGUF with another form of the same model. test_gguf_goldens.py writes the files and runs this
// program:
//
//   gguf_parity golden NAME MODEL
//     MODEL holds the values of the golden's checkpoint: compares logits and tokens, and the logits and
//     drafts of its MTP layer, in fp32 and bf16, in several layouts.
//   gguf_parity same MODEL OTHER
//     Compares fp32 logits bitwise, on one rank and on two. With bf16 compute, where blocks are multiplied
//     without expansion, compares logits up to rounding. If OTHER has an MTP layer, MODEL must have one,
//     whose fp32 logits and drafts are compared bitwise.
//
// Prints the differences. Exit code 1: there are differences.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/check.h"
#include "base/checked.h"
#include "model/files/model_files.h"
#include "tests/parity/golden.h"
#include "tests/parity/layouts.h"
#include "tests/parity/mtp_rank.h"
#include "tests/parity/serve_golden.h"
#include "tests/unit/engine/logits_recorder.h"
#include "tests/unit/engine/written_step.h"
#include "worker/collectives/local/local_world.h"

namespace deeprack::parity {
namespace {

constexpr int kGreedyTokens = 20;
constexpr int32_t kPositions = 70;  // more than one cache page
constexpr Epoch kEpoch = 3;
// The error of rounding activations to int8 and bf16, relative to the largest logit. Random weights enlarge
// it: a simulation of the K-quants' models below in float64, with rows rounded to int8, also differs by 4e-2.
// A wrong result differs by about 1.
constexpr double kRounding = 7e-2;

int failures = 0;

void Fail(const std::string& what) {
  std::printf("%s\n", what.c_str());
  ++failures;
}

void RunRanks(int ranks, const std::function<void(int, worker::Communicator*)>& run) {
  const auto world = worker::MakeLocalWorld(ranks, absl::Minutes(2));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] { run(rank, world[static_cast<size_t>(rank)].get()); });
  }
  for (std::thread& thread : threads) thread.join();
}

void CheckGolden(const Golden& golden, const Placement& placement, DType compute) {
  const int ranks = placement.layout.world_size();
  std::vector<RankReport> reports(static_cast<size_t>(ranks));
  RunRanks(ranks, [&](int rank, worker::Communicator* world) {
    worker::EngineOptions options =
        GoldenOptions(golden, placement.layout, compute, placement.exchange, placement.prefill);
    options.rank = rank;
    reports[static_cast<size_t>(rank)] = ServeGolden(golden, options, Chunking::kMixed, kGreedyTokens, world);
  });
  RankReport all;
  for (const RankReport& report : reports) {
    all.positions += report.positions;
    all.tokens += report.tokens;
    all.worst = std::max(all.worst, report.worst);
    for (const std::string& failure : report.failures) Fail(absl::StrCat(Describe(placement), ": ", failure));
  }
  const RankReport expected = ExpectedCounts(golden, compute, Chunking::kMixed, kGreedyTokens);
  if (all.positions != expected.positions || all.tokens != expected.tokens) {
    Fail(absl::StrCat(Describe(placement), ": ", all.positions, " positions and ", all.tokens,
                      " tokens were compared, expected ", expected.positions, " and ", expected.tokens));
  }
  std::printf("%s %s: logits differ by %.1e at most\n", Describe(placement).c_str(),
              std::string(Name(compute)).c_str(), all.worst);
}

void CheckMtp(const Golden& golden, const std::vector<MtpGoldenPrompt>& prompts, const Placement& placement,
              DType compute, const MtpComparison& comparison) {
  const MtpReport report = RunMtp(golden, prompts, placement, compute, comparison);
  const MtpReport expected = ExpectedOfMtp(prompts, comparison.level);
  for (const std::string& failure : report.failures) {
    Fail(absl::StrCat(Describe(placement), ", MTP layer: ", failure));
  }
  if (report.rows != expected.rows || report.drafts != expected.drafts) {
    Fail(absl::StrCat(Describe(placement), ", MTP layer: ", report.rows, " rows and ", report.drafts,
                      " drafts were compared, expected ", expected.rows, " and ", expected.drafts));
  }
  std::printf("%s %s: logits of the MTP layer differ by %.1e at most\n", Describe(placement).c_str(),
              std::string(Name(compute)).c_str(), report.worst);
}

void CheckGoldenOf(const std::string& name, const std::string& model) {
  auto golden = LoadGolden(name);
  if (!golden.ok()) return Fail(std::string(golden.status().message()));
  const auto mtp = LoadMtpGolden(*golden);
  if (!mtp.ok() && !absl::IsNotFound(mtp.status())) return Fail(std::string(mtp.status().message()));
  golden->folder = model;
  std::vector<Placement> placements = {{}, {{.tp = 2}}, {{.tp = 4}}, {{.tp = 2, .pp = 2}}};
  if (golden->has_experts) {
    placements.push_back({{.tp = 2, .ep = 2}, model::ExpertExchange::kAllToAll});
    placements.push_back({{.dp = 2, .ep = 2}});
  }
  for (const Placement& placement : placements) {
    CheckGolden(*golden, placement, DType::kF32);
    CheckGolden(*golden, placement, DType::kBF16);
    if (mtp.ok()) {
      CheckMtp(*golden, *mtp, placement, DType::kF32, GoldenComparison(DType::kF32));
      CheckMtp(*golden, *mtp, placement, DType::kBF16, GoldenComparison(DType::kBF16));
    }
  }
}

// The logits after each of kPositions tokens, one token a step.
std::vector<std::vector<float>> LogitsOf(const std::string& model, const model::Layout& layout,
                                         DType compute) {
  std::vector<std::vector<float>> logits(kPositions);
  std::mutex mutex;
  RunRanks(layout.world_size(), [&](int rank, worker::Communicator* world) {
    worker::EngineOptions options =
        GoldenOptions({.folder = model}, layout, compute, model::ExpertExchange::kReplicated,
                      model::PrefillAttention::kExpanded);
    options.rank = rank;
    worker::testing::LogitsRecorder recorder;
    const auto engine = worker::Engine::Create(options, world, {}, &recorder);
    if (!engine.ok()) return Fail(absl::StrCat(model, ": ", std::string(engine.status().message())));
    const int64_t vocab = (*engine)->config().vocab_size;
    for (int32_t position = 0; position < kPositions; ++position) {
      worker::testing::WrittenSequence sequence{
          .sequence = 1, .prompt_size = kPositions, .num_computed = position, .sample = true};
      sequence.token_ids = {static_cast<TokenId>((position * position + 3) % vocab)};
      for (BlockId block = 0; block < CeilDiv(position + 1, kPageTokens); ++block) {
        sequence.block_table.push_back(block);
      }
      const worker::testing::WrittenStep step = {
          .epoch = kEpoch, .step = static_cast<StepId>(position), .sequences = {std::move(sequence)}};
      const auto executed = (*engine)->Execute(GroupStepOf(step, layout, rank));
      if (!executed.ok()) return Fail(std::string(executed.status().message()));
      const std::lock_guard lock(mutex);
      if (const float* here = recorder.Of(0)) logits[position].assign(here, here + vocab);
    }
  });
  return logits;
}

// Against fp32 logits. A few positions may choose other experts by rounding, which moves their logits far.
void CheckRounded(const model::Layout& layout, const std::vector<std::vector<float>>& logits,
                  const std::vector<std::vector<float>>& exact) {
  std::vector<double> differences;
  for (size_t i = 0; i < logits.size(); ++i) {
    double largest = 0;
    double difference = 0;
    for (size_t j = 0; j < exact[i].size(); ++j) {
      largest = std::max(largest, std::abs(double{exact[i][j]}));
      difference = std::max(difference, std::abs(double{logits[i][j]} - exact[i][j]));
    }
    differences.push_back(difference / largest);
  }
  std::sort(differences.begin(), differences.end());
  const double median = differences[differences.size() / 2];
  std::printf("%s BF16: logits differ by %.1e in the median, %.1e at most\n", model::ToString(layout).c_str(),
              median, differences.back());
  if (!(median <= kRounding)) {
    Fail(absl::StrCat(model::ToString(layout), ": bf16 logits differ by ", median, " in the median, ",
                      kRounding, " allowed"));
  }
}

// The MTP layer of `model` makes what that of `other` makes.
void CheckSameMtp(const std::string& model, const std::string& other, const Placement& placement,
                  int64_t vocab) {
  Golden golden = {.folder = other, .prompts = std::vector<GoldenPrompt>(2)};
  std::vector<MtpGoldenPrompt> prompts;
  for (size_t i = 0; i < golden.prompts.size(); ++i) {
    std::vector<TokenId>& tokens = golden.prompts[i].tokens;
    for (int32_t position = 0; position < kPositions; ++position) {
      tokens.push_back(static_cast<TokenId>((position * position + 3 + static_cast<int32_t>(i)) % vocab));
    }
    std::vector<TokenId> followed = tokens;
    followed.insert(followed.end(), tokens.begin(), tokens.begin() + 4);
    prompts.push_back(UncheckedPrompt(std::move(followed)));
  }
  std::vector<MtpGoldenPrompt> computed = prompts;
  CheckMtp(golden, prompts, placement, DType::kF32, {.level = 1, .computed = &computed});
  for (MtpGoldenPrompt& prompt : computed) {
    for (std::vector<uint8_t>* levels : {&prompt.clear, &prompt.draft_clear, &prompt.drafts_clear}) {
      levels->assign(levels->size(), 1);
    }
  }
  golden.folder = model;
  CheckMtp(golden, computed, placement, DType::kF32, {.level = 1, .tolerance = 0});
}

void CheckSame(const std::string& model, const std::string& other) {
  const auto config = model::LoadModelConfig(other);
  if (!config.ok()) return Fail(std::string(config.status().message()));
  for (const model::Layout& layout : {model::Layout{}, model::Layout{.tp = 2, .ep = 2}}) {
    const auto logits = LogitsOf(model, layout, DType::kF32);
    const auto others = LogitsOf(other, layout, DType::kF32);
    if (failures > 0) return;
    for (int32_t i = 0; i < kPositions; ++i) {
      DR_CHECK(!logits[i].empty() && logits[i].size() == others[i].size());
      if (std::memcmp(logits[i].data(), others[i].data(), logits[i].size() * sizeof(float)) != 0) {
        Fail(absl::StrCat(model::ToString(layout), ": position ", i, " differs: ", logits[i][0], "... and ",
                          others[i][0], "..."));
      }
    }
    CheckRounded(layout, LogitsOf(model, layout, DType::kBF16), others);
    if (config->num_nextn_predict_layers > 0) CheckSameMtp(model, other, {layout}, config->vocab_size);
  }
}

}  // namespace
}  // namespace deeprack::parity

int main(int argc, char** argv) {
  const std::string_view mode = argc == 4 ? argv[1] : "";
  if (mode == "golden") {
    deeprack::parity::CheckGoldenOf(argv[2], argv[3]);
  } else if (mode == "same") {
    deeprack::parity::CheckSame(argv[2], argv[3]);
  } else {
    std::fprintf(stderr, "usage: gguf_parity golden NAME MODEL | gguf_parity same MODEL OTHER\n");
    return 64;
  }
  return deeprack::parity::failures == 0 ? 0 : 1;
}
