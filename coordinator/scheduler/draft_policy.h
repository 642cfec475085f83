// How many drafts the ranks make for each sequence of a step. Pure.
//
// Two forms. Fixed: always DraftLimits::most. Adapting (--speculative-tokens auto): the number d that makes
// the most tokens in the least time, by this estimate for B sequences that decode in a dp group:
//
//   tokens(d) = B x (1 + a[0] + ... + a[d-1])
//   time(d)   = R + B x (1 + d) + d x (R + B) / L
//
// - a[i] is the measured acceptance: the mean over all sequences of "draft i was accepted", older results
//   counting less and less (kAcceptanceWindow).
// - A step reads the weights once, whatever its rows. R (DraftLimits::rows_per_read) is the number of rows
//   that a rank computes in the time of that read. So rows cost little while B is far below R, and drafts
//   cost as much as tokens while B is far above R: there d is 0.
// - Each draft is one run of the MTP layer, which is like one of the model's L layers.
//
// While drafts are under way no other step is (decision 0067), so the ranks wait for the plan of the next
// one. Drafts are made only if the estimate gains at least kLeastGain.
#pragma once

#include <array>
#include <cstdint>

#include "model/step/speculation.h"

namespace deeprack::coordinator {

struct DraftLimits {
  int32_t most = 0;     // that the ranks can make for a sequence; 0: they have no MTP layer
  bool adapts = false;  // false: always `most`
  int32_t layers = 1;   // of the model, without the MTP layer
  int32_t rows_per_read = 1;
};

// DraftLimits::rows_per_read of ranks. A Hopper card computes about 1,979 TFLOPS of FP8 and reads 4.8 TB/s:
// 1,979e12 / 2 / 4.8e12 = 206 rows of one byte for each weight, and as many in BF16. A CPU core computes a
// row of a weight in about the time of reading it from memory when it has some 8 rows.
inline constexpr int32_t kRowsPerReadOfCard = 206;
inline constexpr int32_t kRowsPerReadOfCpu = 8;

class DraftPolicy {
 public:
  explicit DraftPolicy(const DraftLimits& limits) : limits_(limits) {}

  // The number of drafts of each sequence in the next step, 0 to DraftLimits::most. `sequences`: decodes of
  // the dp group that has the most of them. Call it once for each step.
  int32_t Choose(int64_t sequences);

  // Of `offered` drafts of one sequence the first `accepted` were accepted.
  void Observe(int32_t offered, int32_t accepted);

  // The measured share of drafts at this place, from 0, that are accepted.
  double acceptance(int32_t place) const { return acceptance_[static_cast<size_t>(place)]; }

  // A result counts 1 / kAcceptanceWindow in the mean, and the mean before it counts the rest.
  static constexpr double kAcceptanceWindow = 256;
  static constexpr double kLeastGain = 1.1;
  // With fewer drafts than `most`, places are not measured. So one step in kProbeEvery makes `most` drafts,
  // unless they would not pay if all of them were accepted.
  static constexpr int32_t kProbeEvery = 64;

 private:
  using Acceptance = std::array<double, model::kMostSpeculativeTokens>;
  int32_t Best(int64_t sequences, const Acceptance& acceptance) const;

  DraftLimits limits_;
  // At first, before anything is measured: what the layers of DeepSeek's models reach on text.
  Acceptance acceptance_ = {0.8, 0.6, 0.45};
  int32_t unmeasured_ = 0;  // calls of Choose since the last one that made `most` drafts
};

}  // namespace deeprack::coordinator
