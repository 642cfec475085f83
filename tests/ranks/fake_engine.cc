#include "tests/ranks/fake_engine.h"

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
        memory_{.kv_blocks = 100 - options.rank} {}

  absl::StatusOr<model::StepResult> Execute(const model::StepPlan& plan) override {
    DR_RETURN_IF_ERROR(behaviour_.on_step(plan));
    if (std::optional<model::Refusal> refusal = behaviour_.refuse(plan)) {
      model::StepResult refused{.epoch = plan.epoch, .step = plan.step};
      refused.refusal = *std::move(refusal);
      return refused;
    }
    float sum = std::ldexp(1.0f, world_->rank());
    DR_RETURN_IF_ERROR(world_->AllReduceSum(&sum, 1, DType::kF32));
    model::StepResult result{.epoch = plan.epoch, .step = plan.step};
    if (world_->rank() != 0) return result;
    for (const model::SequencePlan& sequence : plan.sequences) {
      result.sequences.push_back({.sequence = sequence.sequence,
                                  .sampled = sequence.sample,
                                  .token = 1000 * sequence.num_computed + static_cast<TokenId>(sum)});
    }
    return result;
  }

  bool Suits(const EngineOptions& options) const override { return options.rank == options_.rank; }
  absl::Status Rejoin(Epoch, Communicator* world) override {
    world_ = world;
    return world_->Barrier();
  }
  const EngineMemory& memory() const override { return memory_; }
  const model::ModelConfig& config() const override { return config_; }

 private:
  const EngineOptions options_;
  Communicator* world_;
  const FakeBehaviour behaviour_;
  const EngineMemory memory_;
  const model::ModelConfig config_;
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
