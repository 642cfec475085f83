#include "coordinator/scheduler/prefill_pace.h"

#include <algorithm>
#include <cmath>

namespace deeprack::coordinator {
namespace {

// The share of the latest value in a running mean.
constexpr double kLatest = 0.125;

void Mix(double value, double& mean) { mean = mean > 0 ? mean + kLatest * (value - mean) : value; }

}  // namespace

size_t PrefillPace::BucketOf(int32_t decodes) {
  return std::min(kBuckets - 1,
                  static_cast<size_t>(2 * std::log2(static_cast<double>(std::max(decodes, 1)))));
}

double PrefillPace::SecondsAlone(int32_t decodes) const {
  // A step of more decodes takes at least as long. A step of half the decodes takes at least half as long.
  const auto least_of = [decodes](const Alone& alone) {
    return alone.seconds > 0 ? alone.seconds * std::min(1.0, decodes / alone.decodes) : 0;
  };
  if (const double own = least_of(alone_[BucketOf(decodes)]); own > 0) return own;
  double least = 0;
  for (const Alone& alone : alone_) least = std::max(least, least_of(alone));
  return least;
}

int32_t PrefillPace::TokensBeside(int32_t decodes) {
  if (fixed_ > 0) return fixed_;
  const double alone = SecondsAlone(decodes);
  if (hears_times_ && (alone <= 0 || token_seconds_ > 0)) {
    int32_t& since_look = alone_[BucketOf(decodes)].steps_since_look;
    if (++since_look > kStepsBetweenLooks) {
      since_look = 0;
      return 0;
    }
  }
  if (alone <= 0 || token_seconds_ <= 0) return kBeforeAnythingIsKnown;
  const double tokens = (kMostSlowdown - 1) * alone / token_seconds_;
  return static_cast<int32_t>(std::clamp<double>(tokens, kLeast, INT32_MAX));
}

void PrefillPace::Observe(int32_t decodes, int32_t prompt_tokens, double seconds) {
  if (!(seconds > 0) || decodes < 1) return;
  hears_times_ = true;
  if (prompt_tokens == 0) {
    Alone& alone = alone_[BucketOf(decodes)];
    Mix(seconds, alone.seconds);
    Mix(decodes, alone.decodes);
    alone.steps_since_look = 0;
    return;
  }
  const double alone = SecondsAlone(decodes);
  // Few tokens hardly show beside the noise of the decodes' time.
  if (alone <= 0 || prompt_tokens < kLeast / 2) return;
  // A token costs something, so the mean stays known.
  Mix(std::max(seconds - alone, 1e-3 * seconds) / prompt_tokens, token_seconds_);
}

}  // namespace deeprack::coordinator
