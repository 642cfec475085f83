#include "worker/engine/step_memory.h"

#include <utility>

#include "base/checked.h"
#include "base/status_macros.h"
#include "worker/decoder/batch.h"
#include "worker/sampling/sampler.h"

namespace deeprack::worker {
namespace {

struct AreaSizes {
  AreaSizes(const model::StepLimits& limits, int64_t vocab, const AttentionPlanner& planner)
      : inputs(RoundUp(BatchBytes(limits, planner) + Sampler::InputBytes(limits), kArenaAlignment)),
        results(RoundUp(Sampler::ResultBytes(limits), kArenaAlignment)),
        adjustments(RoundUp(Sampler::AdjustmentBytes(vocab), kArenaAlignment)) {}

  int64_t total() const { return inputs + results + adjustments; }

  const int64_t inputs, results, adjustments;
};

absl::StatusOr<StagedArea> CutArea(Device& device, Arena& arena, const char* purpose, int64_t bytes) {
  DR_ASSIGN_OR_RETURN(std::byte * memory, arena.Allocate(bytes));
  return StagedArea::Create(device, purpose, memory, bytes);
}

}  // namespace

int64_t StepMemoryBytes(const model::StepLimits& limits, int64_t vocab, const AttentionPlanner& planner) {
  return AreaSizes(limits, vocab, planner).total();
}

absl::StatusOr<StepMemory> StepMemory::Create(Device& device, const model::StepLimits& limits, int64_t vocab,
                                              const AttentionPlanner& planner) {
  const AreaSizes sizes(limits, vocab, planner);
  DR_ASSIGN_OR_RETURN(Arena arena, Arena::Create(device, "inputs and results of a step", sizes.total()));
  DR_ASSIGN_OR_RETURN(StagedArea inputs, CutArea(device, arena, "inputs of a step", sizes.inputs));
  DR_ASSIGN_OR_RETURN(StagedArea results, CutArea(device, arena, "results of a step", sizes.results));
  DR_ASSIGN_OR_RETURN(StagedArea adjustments,
                      CutArea(device, arena, "adjustments of logits", sizes.adjustments));
  return StepMemory{.arena = std::move(arena),
                    .inputs = std::move(inputs),
                    .results = std::move(results),
                    .adjustments = std::move(adjustments)};
}

}  // namespace deeprack::worker
