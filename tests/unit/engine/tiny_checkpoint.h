// Writes small deepseek_v3 and qwen2 checkpoints with random weights, stored as in R1's checkpoint.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "model/config/model_config.h"

namespace deeprack::worker::testing {

// Odd sizes on purpose: not multiples of 16 or 128 where the format allows that, and slices that cut fp8
// blocks. With `aligned`: sizes that matrix instructions can read.
struct TinyModel {
  bool q_lora = true;
  bool fp8 = true;
  bool yarn = true;
  bool tie_word_embeddings = false;
  int dense_layers = 1;
  int layers = 4;
  int shared_experts = 1;
  // qwen2 with two key-value heads, dense. Of the other fields, ties, layers and types apply.
  bool grouped_query = false;
  DType plain_type = DType::kBF16;  // of tensors that are not fp8
  uint32_t seed = 1;
  // compressed-tensors' int4 in groups of 128 instead of fp8, for weights with suitable columns. ConfigJson
  // and Config then return the config without its quantization_config.
  bool int4 = false;
  int mtp_layers = 0;
  // Also R1's latent and rope widths, 16 heads, and 32 experts of which a token chooses 4.
  bool aligned = false;

  std::string ConfigJson() const;
  model::ModelConfig Config() const;
};

// The bytes of one tensor before they are written. A test may damage them.
struct TinyTensor {
  std::string name;
  DType type = DType::kF32;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
};
using Damage = std::function<void(TinyTensor& tensor)>;

// Sets the router's bias so far apart that the bias decides every choice; otherwise rounding would sometimes
// change a choice.
void SettleRouting(TinyTensor& tensor);

// Writes config.json and model.safetensors to a new folder in the test's temporary folder. Equal models
// always have equal weights.
std::string WriteTinyCheckpoint(const TinyModel& model, const Damage& damage = {});

}  // namespace deeprack::worker::testing
