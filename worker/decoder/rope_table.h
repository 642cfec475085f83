// Cosines and sines of the rotary embedding. Sources: YaRN (arXiv:2309.00071) as in DeepSeek's code, and
// rope_type llama3 of transformers.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config/model_config.h"

namespace deeprack::worker {

// [qk_rope_head_dim / 2]: the angle of each pair in radians per position. Without scaling, pair i has
// rope_theta^(-2i/dim). With YaRN: a pair that makes fewer than beta_slow turns over the original context is
// divided by `factor`; a pair that makes more than beta_fast turns is unchanged; pairs between are blended
// linearly in the pair's index. With llama3: the same with low_freq_factor and high_freq_factor, and blended
// linearly in turns. config.rope_freqs divides each pair's frequency.
std::vector<double> RopeFrequencies(const model::ModelConfig& config);

// The factor on cosines and sines. With YaRN: mscale(factor, mscale) / mscale(factor, mscale_all_dim) if both
// are set, else mscale(factor, 1), where mscale(s, m) = 0.1 * m * ln(s) + 1. Without YaRN: 1.
double RopeAmplitude(const model::ModelConfig& config);

// Fills `cos` and `sin`, each [positions, qk_rope_head_dim / 2] row-major. The angle position * frequency is
// rounded to float, as in the model's training.
void FillRopeTable(const model::ModelConfig& config, int64_t positions, float* cos, float* sin);

}  // namespace deeprack::worker
