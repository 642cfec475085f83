// Cosines and sines of the rotary embedding, with YaRN's stretched frequencies (arXiv:2309.00071) as DeepSeek
// uses them.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config/model_config.h"

namespace deeprack::worker {

// The angle per position of each of the qk_rope_head_dim / 2 pairs. Under YaRN, pair i turns at
// rope_theta^(-2i/dim), slowed by `factor` where it makes fewer than beta_slow turns over the original
// context, unchanged where it makes more than beta_fast, and a linear blend between. Under llama3 the same
// with its own factors and a blend that is linear in turns. rope_freqs divide them as they say.
std::vector<double> RopeFrequencies(const model::ModelConfig& config);

// The factor on cosines and sines: mscale(factor, mscale) / mscale(factor, mscale_all_dim) if both are set,
// else mscale(factor, 1), where mscale(s, m) = 0.1 m ln(s) + 1; 1 without YaRN.
double RopeAmplitude(const model::ModelConfig& config);

// Fills cos and sin, each [positions, qk_rope_head_dim / 2] row-major. The angle is rounded to float as
// position * frequency, which is what the model was trained with.
void FillRopeTable(const model::ModelConfig& config, int64_t positions, float* cos, float* sin);

}  // namespace deeprack::worker
