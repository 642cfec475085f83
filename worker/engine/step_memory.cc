#include "worker/engine/step_memory.h"

#include <utility>

#include "base/status_macros.h"

namespace deeprack::worker {
namespace {

absl::StatusOr<StagedArea> CutArea(Device& device, Arena& arena, const char* purpose, int64_t bytes) {
  DR_ASSIGN_OR_RETURN(std::byte * memory, arena.Allocate(bytes));
  return StagedArea::Create(device, purpose, memory, bytes);
}

}  // namespace

absl::StatusOr<StepMemory> StepMemory::Create(Device& device, const sizing::StepAreas& sizes) {
  DR_ASSIGN_OR_RETURN(Arena arena, Arena::Create(device, "inputs and results of a step", sizes.total()));
  DR_ASSIGN_OR_RETURN(StagedArea inputs, CutArea(device, arena, "inputs of a step", sizes.inputs));
  DR_ASSIGN_OR_RETURN(StagedArea results, CutArea(device, arena, "results of a step", sizes.results));
  DR_ASSIGN_OR_RETURN(StagedArea adjustments,
                      CutArea(device, arena, "adjustments of logits", sizes.adjustments));
  DR_ASSIGN_OR_RETURN(StagedArea draft_inputs,
                      CutArea(device, arena, "inputs of drafts", sizes.draft_inputs));
  DR_ASSIGN_OR_RETURN(StagedArea draft_results, CutArea(device, arena, "drafts", sizes.draft_results));
  return StepMemory{.arena = std::move(arena),
                    .inputs = std::move(inputs),
                    .results = std::move(results),
                    .adjustments = std::move(adjustments),
                    .draft_inputs = std::move(draft_inputs),
                    .draft_results = std::move(draft_results)};
}

}  // namespace deeprack::worker
