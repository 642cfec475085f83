// SchedulerSimulation: how the faults of planted_fault.h are made, from outside of the scheduler.
#include <map>
#include <utility>
#include <vector>

#include "tests/sim/draw.h"
#include "tests/sim/scheduler_simulation.h"
#include "tests/unit/scheduler/scheduler_peer.h"

namespace deeprack::coordinator::sim {

// One more reference to the sequence's last page, which nobody gives back.
void SchedulerSimulation::LeakPage(SequenceId id) {
  const auto& sequences = SchedulerPeer::sequences(*scheduler_);
  const auto found = sequences.find(id);
  if (found == sequences.end() || found->second->blocks.blocks().empty()) return;
  const auto group = static_cast<size_t>(found->second->dp_rank);
  SchedulerPeer::groups(*scheduler_)[group].pool.Reference(found->second->blocks.blocks().back());
}

void SchedulerSimulation::GivePagesBackEarly(SequenceId id) {
  const auto& sequences = SchedulerPeer::sequences(*scheduler_);
  const auto found = sequences.find(id);
  if (found == sequences.end() || !found->second->ended) return;
  found->second->blocks.Clear();
  found->second->ended_on_ranks = true;  // so that Apply does not publish pages that are no longer there
}

// Pages of preempted sequences that another one holds now are given back once more.
std::optional<model::StepPlan> SchedulerSimulation::PlanWithDoubleFree() {
  std::map<const Sequence*, std::pair<size_t, std::vector<BlockId>>> pages;
  for (const auto& [id, sequence] : SchedulerPeer::sequences(*scheduler_)) {
    if (sequence->dp_rank < 0) continue;
    pages[sequence.get()] = {static_cast<size_t>(sequence->dp_rank), sequence->blocks.blocks()};
  }
  auto plan = scheduler_->Plan();
  for (const auto& [sequence, held] : pages) {
    if (sequence->dp_rank >= 0) continue;  // not preempted
    BlockPool& pool = SchedulerPeer::groups(*scheduler_)[held.first].pool;
    for (const BlockId block : held.second) {
      if (pool.references(block) == 0) continue;  // the pool itself finds such a fault
      pool.Release(block);
      unfit_ = true;
      return plan;
    }
  }
  return plan;
}

// The head of the queue is not looked at.
std::optional<model::StepPlan> SchedulerSimulation::PlanWithoutHead() {
  SequenceSet& waiting = SchedulerPeer::waiting(*scheduler_);
  const bool suspects = !SchedulerPeer::suspects(*scheduler_).empty();  // they run alone, without a queue
  if (suspects || waiting.size() < 2 || !OneIn(random_, 10)) return scheduler_->Plan();
  Sequence* const head = *waiting.begin();
  waiting.erase(waiting.begin());
  auto plan = scheduler_->Plan();
  waiting.insert(head);
  return plan;
}

absl::Status SchedulerSimulation::TakeSpoilt(TokenEvent event) {
  switch (options_.planted) {
    case PlantedFault::kTokenLost:
      if (event.has_token && event.finish == FinishReason::kNone) return absl::OkStatus();
      break;
    case PlantedFault::kTokenDoubled:
      if (event.has_token && event.finish == FinishReason::kNone) {
        if (absl::Status status = streams_.Take(event); !status.ok()) return status;
      }
      break;
    case PlantedFault::kTokenChanged:
      event.token = (event.token + 1) % kVocabulary;
      break;
    case PlantedFault::kEndedTwice:
      if (event.finish != FinishReason::kNone) {
        if (absl::Status status = streams_.Take(event); !status.ok()) return status;
      }
      break;
    default:
      break;
  }
  return streams_.Take(event);
}

}  // namespace deeprack::coordinator::sim
