// Writes small deepseek_v3 and qwen2 checkpoints with random weights, stored as R1 is stored, for tests.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "model/config/model_config.h"

namespace deeprack::worker::testing {

// Odd sizes on purpose: no multiple of 16 or 128 where the format allows it, and slices that cut through fp8
// blocks. Unless `aligned`: sizes that matrix instructions take whole.
struct TinyModel {
  bool q_lora = true;
  bool fp8 = true;
  bool yarn = true;
  bool tie_word_embeddings = false;
  int dense_layers = 1;
  int layers = 4;
  int shared_experts = 1;
  bool grouped_query = false;  // qwen2 with two key-value heads, dense: only ties, layers and types matter
  DType plain_type = DType::kBF16;  // of what is not fp8
  uint32_t seed = 1;
  // compressed-tensors' int4 in groups of 128 instead of fp8, where columns allow it. ConfigJson and Config
  // are then the model's without its quantization_config.
  bool int4 = false;
  bool aligned = false;  // and R1's latent and rope widths; 16 heads, 32 experts, of which a token chooses 4

  std::string ConfigJson() const;
  model::ModelConfig Config() const;
};

// The bytes of one tensor, before they are written; a test may damage them.
struct TinyTensor {
  std::string name;
  DType type = DType::kF32;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
};
using Damage = std::function<void(TinyTensor& tensor)>;

// The router's bias so far apart that it settles every choice: rounding would change one now and then.
void SettleRouting(TinyTensor& tensor);

// A new folder below the test's temporary folder with config.json and model.safetensors. The same model
// always gives the same weights.
std::string WriteTinyCheckpoint(const TinyModel& model, const Damage& damage = {});

}  // namespace deeprack::worker::testing
