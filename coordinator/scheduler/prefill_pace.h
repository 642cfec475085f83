// How many tokens of prompts a step may have beside decodes, so that running answers keep their pace.
//
// A step with decodes and prompts may take at most kMostSlowdown times as long as one with the decodes alone.
// What a step takes is learned from the ranks' own times, because it depends on the model, the machine and
// the layout:
//
//   time = decodes alone (by their number) + prompt tokens x time of a token
//
// The time of decodes alone is the running mean of steps without prompts, for numbers of decodes that are
// alike. The time of a token is the running mean of what steps with prompts took beyond it. While prompts
// come in without end, one step in kStepsBetweenLooks has none, and the first one with another number of
// decodes, so that the first mean is known.
//
// Pure: times come with results. A server whose ranks tell no times stays at kBeforeAnythingIsKnown.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace deeprack::coordinator {

class PrefillPace {
 public:
  // `fixed`: this many tokens, whatever steps take. 0: learns.
  explicit PrefillPace(int32_t fixed) : fixed_(fixed) {}

  // The tokens of prompts that each dp group may have in the next step. 0: none in this step. `decodes`: rows
  // of the group that has the most, at least 1. Call it once for each step that could have prompts.
  int32_t TokensBeside(int32_t decodes);

  // A step took `seconds`. `decodes` and `prompt_tokens`: rows of the group that has the most of them.
  // Ignored if seconds <= 0.
  void Observe(int32_t decodes, int32_t prompt_tokens, double seconds);

  // A step at the limit takes this many times as long as its decodes alone. Uneven times add to that: the
  // mark for the slowest one in a hundred is 1.5.
  static constexpr double kMostSlowdown = 1.3;
  // A page. Prompts come in at this pace at least, also where each token costs much, as on CPUs.
  static constexpr int32_t kLeast = 64;
  static constexpr int32_t kBeforeAnythingIsKnown = 512;
  static constexpr int32_t kStepsBetweenLooks = 64;

 private:
  // Numbers of decodes that are alike: from one power of the square root of 2 to the next.
  static constexpr size_t kBuckets = 40;
  struct Alone {
    double seconds = 0;                             // 0: not known
    double decodes = 0;                             // their mean number
    int32_t steps_since_look = kStepsBetweenLooks;  // steps with prompts since the last step without
  };

  static size_t BucketOf(int32_t decodes);
  // At least this long takes a step of decodes alone, by what is known of numbers that are alike, or else of
  // any number. 0: nothing is known.
  double SecondsAlone(int32_t decodes) const;

  const int32_t fixed_;
  std::array<Alone, kBuckets> alone_;
  double token_seconds_ = 0;  // 0: not known
  bool hears_times_ = false;
};

}  // namespace deeprack::coordinator
