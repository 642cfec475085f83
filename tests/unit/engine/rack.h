// Every rank of a layout as a thread of the test, driven with one plan at a time.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/unit/engine/logits_recorder.h"
#include "worker/collectives/communicator.h"
#include "worker/device/device.h"
#include "worker/engine/engine.h"

namespace deeprack::worker::testing {

using Logits = std::vector<float>;

class Rack {
 public:
  // What each rank computes on.
  using MakeDevice = std::function<std::unique_ptr<Device>()>;

  // Creates an engine for each rank of options.layout, on the CPU or on what make_device gives. The error of
  // the first rank (by number) that has one.
  static absl::StatusOr<std::unique_ptr<Rack>> Create(const EngineOptions& options,
                                                      const MakeDevice& make_device = nullptr,
                                                      absl::Duration timeout = absl::Seconds(60));

  // Runs the plan on all ranks; the joined results in the plan's order. The first rank's error, as above.
  absl::StatusOr<std::vector<model::SequenceResult>> Execute(const model::StepPlan& plan);

  // All ranks meet in a new world, with the engines and devices they have. The first rank's error, as above.
  absl::Status Rejoin(Epoch epoch);

  // The logits after each sequence's last position of the plan executed last, in its order. Every sequence
  // must sample.
  std::vector<Logits> LastLogits(const model::StepPlan& plan);

  // Executes and returns the logits. Fails the test on an error.
  std::vector<Logits> LogitsOf(const model::StepPlan& plan);

  Engine& engine(Rank rank) { return *engines_[static_cast<size_t>(rank)]; }
  const LogitsRecorder& logits(Rank rank) const { return *logits_[static_cast<size_t>(rank)]; }
  int size() const { return static_cast<int>(engines_.size()); }

 private:
  std::vector<std::shared_ptr<Device>> devices_;
  std::vector<std::unique_ptr<Communicator>> world_;
  std::vector<std::unique_ptr<LogitsRecorder>> logits_;  // of each rank
  std::vector<std::unique_ptr<Engine>> engines_;
};

// One sequence's tokens and pages; makes its chunks.
struct Sequence {
  SequenceId id = 0;
  std::vector<TokenId> tokens;
  std::vector<BlockId> blocks;
  int32_t dp_rank = 0;
  int32_t prompt_size = 0;  // 0: all tokens

  // Tokens [begin, end), sampling greedily after the last.
  model::SequencePlan Chunk(int64_t begin, int64_t end) const;
};

std::vector<TokenId> RandomTokens(int64_t count, uint32_t seed);

// Options for the model in `folder`, small limits.
EngineOptions TinyOptions(const std::string& folder, DType compute = DType::kF32,
                          const model::Layout& layout = {},
                          model::ExpertExchange exchange = model::ExpertExchange::kReplicated);

}  // namespace deeprack::worker::testing
