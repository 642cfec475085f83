// Faults that a test plants into a run, to show that the run's checks find them.
#pragma once

#include <cstdint>

namespace deeprack::coordinator::sim {

enum class PlantedFault : uint8_t {
  kNone,
  // A cancelled sequence's last page never comes back to the pool.
  kPageLeakedOnCancel,
  // A preempted sequence gives a page back twice, so that another one's page is free.
  kDoubleFreeOnPreempt,
  // A result of an epoch that is over counts as one of the present epoch.
  kStaleEpochAccepted,
  // A sequence that was cancelled gives its pages back although a step under way still writes to them.
  kPageReusedUnderWay,
  // A draft counts as a token although another token was drawn at its position.
  kDraftCommittedUnverified,
  // An event does not reach its stream; it reaches it twice; its token is another one.
  kTokenLost,
  kTokenDoubled,
  kTokenChanged,
  // A second last event.
  kEndedTwice,
  // A waiting sequence is never admitted.
  kSequenceForgotten,
  // A sequence that waits is admitted before one that is served earlier.
  kOvertaken,
  // Of the cluster. An answer of an epoch that is over comes under the present epoch's number.
  kStaleAnswerTaken,
  // An answer is lost, and its stream does not break.
  kAnswerLost,
  // A worker does not say what its last epoch was.
  kLastEpochForgotten,
  // The place of kConstraintNotRolledBack (a rejected draft leaves its trace in the state of a constraint),
  // for the day when steps draft under constraints.
};

inline constexpr PlantedFault kPlantedFaults[] = {PlantedFault::kPageLeakedOnCancel,
                                                  PlantedFault::kDoubleFreeOnPreempt,
                                                  PlantedFault::kStaleEpochAccepted,
                                                  PlantedFault::kPageReusedUnderWay,
                                                  PlantedFault::kDraftCommittedUnverified,
                                                  PlantedFault::kTokenLost,
                                                  PlantedFault::kTokenDoubled,
                                                  PlantedFault::kTokenChanged,
                                                  PlantedFault::kEndedTwice,
                                                  PlantedFault::kSequenceForgotten,
                                                  PlantedFault::kOvertaken};
inline constexpr PlantedFault kPlantedClusterFaults[] = {
    PlantedFault::kStaleAnswerTaken, PlantedFault::kAnswerLost, PlantedFault::kLastEpochForgotten};

inline const char* NameOf(PlantedFault fault) {
  switch (fault) {
    case PlantedFault::kNone:
      return "none";
    case PlantedFault::kPageLeakedOnCancel:
      return "page leaked on cancel";
    case PlantedFault::kDoubleFreeOnPreempt:
      return "double free on preempt";
    case PlantedFault::kStaleEpochAccepted:
      return "stale epoch accepted";
    case PlantedFault::kPageReusedUnderWay:
      return "page reused while a step under way writes it";
    case PlantedFault::kDraftCommittedUnverified:
      return "draft committed unverified";
    case PlantedFault::kTokenLost:
      return "token lost";
    case PlantedFault::kTokenDoubled:
      return "token doubled";
    case PlantedFault::kTokenChanged:
      return "token changed";
    case PlantedFault::kEndedTwice:
      return "ended twice";
    case PlantedFault::kSequenceForgotten:
      return "sequence forgotten";
    case PlantedFault::kOvertaken:
      return "overtaken in the queue";
    case PlantedFault::kStaleAnswerTaken:
      return "stale answer taken";
    case PlantedFault::kAnswerLost:
      return "answer lost";
    case PlantedFault::kLastEpochForgotten:
      return "last epoch forgotten";
  }
  return "";
}

}  // namespace deeprack::coordinator::sim
