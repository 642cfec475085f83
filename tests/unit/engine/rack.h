// Every rank of a layout as a thread of the test, driven with one plan at a time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/collectives/communicator.h"
#include "worker/engine/engine.h"

namespace deeprack::worker::testing {

using Logits = std::vector<float>;

class Rack {
 public:
  // Creates an engine for each rank of options.layout. The error of the first rank (by number) that has one.
  static absl::StatusOr<std::unique_ptr<Rack>> Create(const EngineOptions& options);

  // Runs the plan on all ranks; the joined results in the plan's order. The first rank's error, as above.
  absl::StatusOr<std::vector<model::SequenceResult>> Execute(const model::StepPlan& plan);

  // Executes and returns the logits after each sequence's last position, in the plan's order. Every sequence
  // must sample. Fails the test on an error.
  std::vector<Logits> LogitsOf(const model::StepPlan& plan);

  Engine& engine(Rank rank) { return *engines_[static_cast<size_t>(rank)]; }
  int size() const { return static_cast<int>(engines_.size()); }

 private:
  std::vector<std::unique_ptr<Communicator>> world_;
  std::vector<std::unique_ptr<Engine>> engines_;
};

// One sequence's tokens and pages; makes its chunks.
struct Sequence {
  SequenceId id = 0;
  std::vector<TokenId> tokens;
  std::vector<BlockId> blocks;
  int32_t dp_rank = 0;

  // Tokens [begin, end), sampling greedily after the last.
  model::SequencePlan Chunk(int64_t begin, int64_t end) const;
};

std::vector<TokenId> RandomTokens(int64_t count, uint32_t seed);

// Options for the model in `folder`, small limits.
EngineOptions TinyOptions(const std::string& folder, DType compute = DType::kF32,
                          const model::Layout& layout = {},
                          model::ExpertExchange exchange = model::ExpertExchange::kReplicated);

}  // namespace deeprack::worker::testing
