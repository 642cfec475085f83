#include "tests/ranks/fake_engine.h"

#include <algorithm>

#include <cmath>
#include <utility>

#include "base/status_macros.h"

namespace deeprack::worker {
namespace {

class FakeEngine final : public Engine {
 public:
  FakeEngine(const EngineOptions& options, Communicator* world, FakeBehaviour behaviour)
      : options_(options),
        world_(world),
        behaviour_(std::move(behaviour)),
        memory_{.kv_blocks = 100 - options.rank,
                .speculative_tokens = std::min(options.speculative_tokens, 2 + options.rank)},
        limits_{.max_step_tokens = options.max_step_tokens,
                .max_sequences = options.max_sequences,
                .max_context = options.max_context > 0 ? options.max_context : kFakeContext} {
    config_.vocab_size = kFakeVocabulary;
  }

  absl::StatusOr<ExecutedStep> Execute(const GroupStep& step) override {
    DR_RETURN_IF_ERROR(behaviour_.on_step(step));
    float sum = std::ldexp(1.0f, world_->rank());
    DR_RETURN_IF_ERROR(world_->AllReduceSum(&sum, 1, DType::kF32));
    ExecutedStep executed = {.result = {.epoch = step.epoch, .step = step.step}, .outcomes = {}};
    const model::RankCoordinates at = model::CoordinatesOf(options_.layout, options_.rank);
    const bool draws = at.tp_rank == 0 && at.pp_rank + 1 == options_.layout.pp;
    for (const StepSequence& sequence : step.sequences) {
      const TokenId token =
          sequence.sample ? 1000 * sequence.num_computed + static_cast<TokenId>(sum) : kNoToken;
      std::vector<TokenId>& tokens = executed.outcomes.tokens;  // no draft is right
      tokens.push_back(token);
      tokens.insert(tokens.end(), static_cast<size_t>(sequence.outcomes() - 1), kNoToken);
      executed.outcomes.drafts.insert(executed.outcomes.drafts.end(),
                                      static_cast<size_t>(sequence.next_drafts), 0);
      if (!draws) continue;
      model::SequenceResult& answer = executed.result.sequences.emplace_back();
      answer.sequence = sequence.sequence;
      answer.refused = sequence.refused;
      if (sequence.sample) answer.tokens = {token};
    }
    return executed;
  }

  bool Suits(const EngineOptions& options) const override { return options.rank == options_.rank; }
  absl::Status Rejoin(Epoch, Communicator* world) override {
    world_ = world;
    return world_->Barrier();
  }
  const EngineMemory& memory() const override { return memory_; }
  const model::ModelConfig& config() const override { return config_; }
  const model::StepLimits& limits() const override { return limits_; }

 private:
  const EngineOptions options_;
  Communicator* world_;
  const FakeBehaviour behaviour_;
  const EngineMemory memory_;
  const model::StepLimits limits_;
  model::ModelConfig config_;
};

}  // namespace

CreateEngine MakeFakeEngines(FakeBehaviour behaviour) {
  return [behaviour](const EngineOptions& options, Communicator* world,
                     const Engine::Progress& progress) -> absl::StatusOr<std::unique_ptr<Engine>> {
    progress(0, 1000 + options.rank);
    DR_RETURN_IF_ERROR(behaviour.on_load(options));
    DR_RETURN_IF_ERROR(world->Barrier());
    DR_RETURN_IF_ERROR(behaviour.on_read());
    return std::make_unique<FakeEngine>(options, world, behaviour);
  };
}

}  // namespace deeprack::worker
