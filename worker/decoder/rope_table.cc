#include "worker/decoder/rope_table.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace deeprack::worker {
namespace {

double MagnitudeScale(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

// The (fractional) index of the pair that makes `turns` full turns over the original context.
double PairOfTurns(const model::ModelConfig& config, double turns) {
  const double dim = static_cast<double>(config.qk_rope_head_dim);
  const double context = static_cast<double>(config.rope_scaling->original_max_position_embeddings);
  return dim * std::log(context / (turns * 2 * std::numbers::pi)) / (2 * std::log(config.rope_theta));
}

// The factor on a frequency under Llama 3.1's scaling (rope_type llama3 of transformers).
double Llama3Slowing(const model::Llama3RopeScaling& scaling, double frequency) {
  const double turns =
      static_cast<double>(scaling.original_max_position_embeddings) * frequency / (2 * std::numbers::pi);
  const double kept = std::clamp(
      (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor), 0.0, 1.0);
  return kept + (1 - kept) / scaling.factor;
}

}  // namespace

std::vector<double> RopeFrequencies(const model::ModelConfig& config) {
  const int64_t dim = config.qk_rope_head_dim;
  std::vector<double> frequencies(static_cast<size_t>(dim / 2));
  for (int64_t i = 0; i < dim / 2; ++i) {
    frequencies[i] = std::pow(config.rope_theta, -2.0 * static_cast<double>(i) / static_cast<double>(dim));
  }
  for (size_t i = 0; i < config.rope_freqs.size(); ++i) frequencies[i] /= double{config.rope_freqs[i]};
  if (config.llama3_rope_scaling) {
    for (double& frequency : frequencies) frequency *= Llama3Slowing(*config.llama3_rope_scaling, frequency);
  }
  if (!config.rope_scaling) return frequencies;

  const model::YarnScaling& yarn = *config.rope_scaling;
  const double low = std::max(std::floor(PairOfTurns(config, yarn.beta_fast)), 0.0);
  double high = std::min(std::ceil(PairOfTurns(config, yarn.beta_slow)), static_cast<double>(dim - 1));
  if (high == low) high += 0.001;  // avoids a division by zero
  for (int64_t i = 0; i < dim / 2; ++i) {
    const double slowed = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] = frequencies[i] / yarn.factor * slowed + frequencies[i] * (1 - slowed);
  }
  return frequencies;
}

double RopeAmplitude(const model::ModelConfig& config) {
  if (!config.rope_scaling) return 1.0;
  const model::YarnScaling& yarn = *config.rope_scaling;
  if (yarn.mscale != 0 && yarn.mscale_all_dim != 0) {
    return MagnitudeScale(yarn.factor, yarn.mscale) / MagnitudeScale(yarn.factor, yarn.mscale_all_dim);
  }
  return MagnitudeScale(yarn.factor, 1.0);
}

void FillRopeTable(const model::ModelConfig& config, int64_t positions, float* cos, float* sin) {
  const std::vector<double> frequencies = RopeFrequencies(config);
  const double amplitude = RopeAmplitude(config);
  for (int64_t position = 0; position < positions; ++position) {
    for (const double frequency : frequencies) {
      const float angle = static_cast<float>(position) * static_cast<float>(frequency);
      *cos++ = static_cast<float>(std::cos(static_cast<double>(angle)) * amplitude);
      *sin++ = static_cast<float>(std::sin(static_cast<double>(angle)) * amplitude);
    }
  }
}

}  // namespace deeprack::worker
