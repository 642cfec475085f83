// Runs every rank of a layout as a thread of the test, one step at a time.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "model/step/step_plan.h"
#include "tests/unit/engine/logits_recorder.h"
#include "tests/unit/engine/written_step.h"
#include "worker/collectives/communicator.h"
#include "worker/device/device.h"
#include "worker/engine/engine.h"

namespace deeprack::worker::testing {

inline constexpr Epoch kEpoch = 7;  // of the tests' plans

using Logits = std::vector<float>;

class Rack {
 public:
  // Makes the device of a rank.
  using MakeDevice = std::function<std::unique_ptr<Device>()>;

  // Creates an engine for each rank of options.layout, on the CPU or on the devices of make_device. On
  // errors: the error of the first rank, by number, that has one.
  static absl::StatusOr<std::unique_ptr<Rack>> Create(const EngineOptions& options,
                                                      const MakeDevice& make_device = nullptr,
                                                      absl::Duration timeout = absl::Seconds(60));

  // Runs the step on all ranks. Returns the joined results in the order of the step's sequences. Expects that
  // all ranks of a dp group have the outcomes that the results tell. Errors as for Create.
  absl::StatusOr<std::vector<Answer>> Execute(const WrittenStep& plan);

  // Runs each rank's own step. Returns the results by rank. Errors as for Create.
  absl::StatusOr<std::vector<ExecutedStep>> ExecuteEach(const std::function<GroupStep(Rank)>& step_of);

  // All ranks join a new world with their engines and devices. Errors as for Create.
  absl::Status Rejoin(Epoch epoch);

  // The logits after the last position of each sequence of the last plan, in the plan's order. Every sequence
  // must sample, or be padding, which has none.
  std::vector<Logits> LastLogits(const WrittenStep& plan);

  // Executes the plan and returns the logits. Fails the test on an error.
  std::vector<Logits> LogitsOf(const WrittenStep& plan);

  Engine& engine(Rank rank) { return *engines_[static_cast<size_t>(rank)]; }
  const LogitsRecorder& logits(Rank rank) const { return *logits_[static_cast<size_t>(rank)]; }
  int size() const { return static_cast<int>(engines_.size()); }

 private:
  model::Layout layout_;
  std::vector<std::shared_ptr<Device>> devices_;
  std::vector<std::unique_ptr<Communicator>> world_;
  std::vector<std::unique_ptr<LogitsRecorder>> logits_;  // of each rank
  std::vector<std::unique_ptr<Engine>> engines_;
};

// The tokens and pages of a sequence; makes plans for its chunks.
struct Sequence {
  SequenceId id = 0;
  std::vector<TokenId> tokens;
  std::vector<BlockId> blocks;
  int32_t dp_rank = 0;
  int32_t prompt_size = 0;  // 0: all tokens

  // The plan for tokens [begin, end), which samples greedily after the last token.
  WrittenSequence Chunk(int64_t begin, int64_t end) const;
};

std::vector<TokenId> RandomTokens(int64_t count, uint32_t seed);

// A sequence of random tokens as a plan opens it, in slot 5 * id.
model::OpenedSequence RandomSequence(int32_t id, int32_t prompt, int32_t output,
                                     model::SamplingParams sampling, std::vector<TokenId> stops,
                                     int32_t min_tokens);

// Engine options with small limits for the model in `folder`.
EngineOptions TinyOptions(const std::string& folder, DType compute = DType::kF32,
                          const model::Layout& layout = {},
                          model::ExpertExchange exchange = model::ExpertExchange::kReplicated);

}  // namespace deeprack::worker::testing
