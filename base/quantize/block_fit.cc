#include "base/quantize/block_fit.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace deeprack {
namespace {

// Larger than any value that a format can hold, and small enough for sums of cubes in fp32.
constexpr float kLargest = 0x1p30f;

// `value` as a finite half: beyond the range, the half of largest magnitude.
f16 FiniteF16(float value) { return ToF16(std::clamp(value, -65504.0f, 65504.0f)); }

class BlockFitter {
 public:
  BlockFitter(const float* values, const BlockShape& shape)
      : shape_(shape), groups_(kSuperBlock / shape.group_size) {
    for (int i = 0; i < kSuperBlock; ++i) values_[i] = std::clamp(values[i], -kLargest, kLargest);
    for (int group = 0; group < groups_; ++group) WeighGroup(group);
  }

  BlockFit Fit() {
    FitGroups();
    BlockFit best = FitIntegers();
    float best_error = error_;
    for (int round = 0; round < kRounds; ++round) {
      const BlockFit next = RefitFactors(best);
      if (!(error_ < best_error)) break;
      best = next;
      best_error = error_;
    }
    SetLevels(best);
    return best;
  }

 private:
  static constexpr int kRounds = 2;

  std::span<const float> Values(int group) const {
    return {values_.data() + group * shape_.group_size, static_cast<size_t>(shape_.group_size)};
  }
  std::span<const float> Weights(int group) const {
    return {weights_.data() + group * shape_.group_size, static_cast<size_t>(shape_.group_size)};
  }
  bool HasMins() const { return shape_.highest_min > 0; }

  void WeighGroup(int group) {
    float squares = 0;
    for (float value : Values(group)) squares += value * value;
    const float rms = std::sqrt(squares / static_cast<float>(shape_.group_size));
    float total = 0;
    for (int i = 0; i < shape_.group_size; ++i) {
      float& weight = weights_[group * shape_.group_size + i];
      weight = 0.25f * rms + std::fabs(values_[group * shape_.group_size + i]);
      total += weight;
    }
    group_weight_[group] = total;
  }

  // Finds each group's scale and minimum as real numbers.
  void FitGroups() {
    for (int group = 0; group < groups_; ++group) {
      fits_[group] = HasMins() ? FitAffine(Values(group), Weights(group), shape_.levels.highest)
                               : Affine{FitScale(Values(group), Weights(group), shape_.levels), 0};
    }
  }

  // Finds d and dmin, and the groups' scales and minima as integers. The real scales are fitted by d times
  // integers just as values are fitted by a scale times integers; so are the minima, by dmin. The weight of a
  // scale's error is the weighted sum of the squares of the levels that the scale multiplies.
  BlockFit FitIntegers() {
    std::array<float, kMaxGroups> scales = {}, mins = {}, scale_weights = {};
    for (int group = 0; group < groups_; ++group) {
      scales[group] = fits_[group].scale;
      mins[group] = fits_[group].min;
      float squares = 0;
      for (int i = 0; i < shape_.group_size; ++i) {
        const auto level = static_cast<float>(NearestLevel(Values(group)[i], fits_[group], shape_.levels));
        squares += Weights(group)[i] * level * level;
      }
      scale_weights[group] = squares;
    }
    const auto count = static_cast<size_t>(groups_);
    BlockFit fit;
    fit.d = FiniteF16(FitScale({scales.data(), count}, {scale_weights.data(), count}, shape_.scales));
    const float d = ToFloat(fit.d);
    for (int group = 0; group < groups_; ++group) {
      fit.scales[group] = NearestLevel(scales[group], {d, 0}, shape_.scales);
    }
    if (HasMins()) {
      const LevelRange levels = {0, shape_.highest_min};
      fit.dmin = FiniteF16(FitScale({mins.data(), count}, {group_weight_.data(), count}, levels));
      const float dmin = ToFloat(fit.dmin);
      for (int group = 0; group < groups_; ++group)
        fit.mins[group] = NearestLevel(mins[group], {dmin, 0}, levels);
    }
    SearchIntegers(fit);
    return fit;
  }

  // For each group: tries integer scales and minima near the present ones and keeps the best, with d and dmin
  // as they are.
  void SearchIntegers(BlockFit& fit) {
    const float d = ToFloat(fit.d);
    const float dmin = ToFloat(fit.dmin);
    error_ = 0;
    for (int group = 0; group < groups_; ++group) {
      int scales[kTrials], mins[kTrials];
      Affine candidates[kTrials];
      for (int t = 0; t < kTrials; ++t) {
        // Candidates around the present pair, which is the first: 16 scales, or 3 scales with 5 minima each.
        const int scale_step = HasMins() ? kNear[t % 15 / 5] : kNear[t];
        const int min_step = HasMins() ? kNear[t % 15 % 5] : 0;
        scales[t] = std::clamp(fit.scales[group] + scale_step, shape_.scales.lowest, shape_.scales.highest);
        mins[t] = std::clamp(fit.mins[group] + min_step, 0, shape_.highest_min);
        candidates[t] = {d * static_cast<float>(scales[t]), dmin * static_cast<float>(mins[t])};
      }
      Residuals residuals[kTrials];
      TryAffines(Values(group), Weights(group), shape_.levels, candidates, residuals);
      int best = 0;
      for (int t = 1; t < kTrials; ++t) {
        if (residuals[t].rr < residuals[best].rr) best = t;
      }
      fit.scales[group] = scales[best];
      fit.mins[group] = mins[best];
      residuals_[group] = residuals[best];
      error_ += residuals[best].rr;
    }
  }

  // Computes d and dmin from the normal equations over the block, with all integers as they are. Then
  // searches the integers again around the present ones.
  BlockFit RefitFactors(BlockFit fit) {
    double a = 0, b = 0, c = 0, u = 0, v = 0;
    for (int group = 0; group < groups_; ++group) {
      const double scale = fit.scales[group];
      const double min = fit.mins[group];
      const Residuals& sums = residuals_[group];
      a += scale * scale * sums.qq;
      b += scale * min * sums.q;
      c += min * min * group_weight_[group];
      u += scale * sums.rq;
      v += min * sums.r;
    }
    const double determinant = a * c - b * b;
    double d_step = a > 0 ? u / a : 0;
    double dmin_step = 0;
    if (HasMins() && determinant > 1e-6 * a * c) {
      d_step = (u * c - b * v) / determinant;
      dmin_step = (d_step * b - v) / c;
    }
    fit.d = FiniteF16(static_cast<float>(ToFloat(fit.d) + d_step));
    fit.dmin = FiniteF16(std::max(0.0f, static_cast<float>(ToFloat(fit.dmin) + dmin_step)));
    SearchIntegers(fit);
    return fit;
  }

  void SetLevels(BlockFit& fit) const {
    const float d = ToFloat(fit.d);
    const float dmin = ToFloat(fit.dmin);
    for (int i = 0; i < kSuperBlock; ++i) {
      const int group = i / shape_.group_size;
      const Affine affine = {d * static_cast<float>(fit.scales[group]),
                             dmin * static_cast<float>(fit.mins[group])};
      fit.levels[i] = NearestLevel(values_[i], affine, shape_.levels);
    }
  }

  static constexpr int kNear[kTrials] = {0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6, 7, -7, 8};

  const BlockShape shape_;
  const int groups_;
  std::array<float, kSuperBlock> values_ = {};
  std::array<float, kSuperBlock> weights_ = {};
  std::array<float, kMaxGroups> group_weight_ = {};
  std::array<Affine, kMaxGroups> fits_ = {};
  // Set by the last SearchIntegers.
  std::array<Residuals, kMaxGroups> residuals_ = {};
  float error_ = 0;
};

}  // namespace

BlockFit FitBlock(const float* values, const BlockShape& shape) { return BlockFitter(values, shape).Fit(); }

}  // namespace deeprack
