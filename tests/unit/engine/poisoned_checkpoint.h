// A checkpoint of finite weights with one token whose numbers overflow in one place of the model.
#pragma once

#include <cstring>
#include <string>

#include "base/ids.h"
#include "tests/unit/engine/tiny_checkpoint.h"

namespace deeprack::worker::testing {

inline constexpr TokenId kPoisonedToken = 77;

namespace internal {

inline constexpr int64_t kPoisonedDim = 5;

inline void SetBf16(TinyTensor& tensor, int64_t index, float value) {
  const bf16 half = ToBF16(value);
  std::memcpy(tensor.bytes.data() + index * static_cast<int64_t>(sizeof(half)), &half, sizeof(half));
}

inline bool EndsWith(const std::string& name, const std::string& end) {
  return name.size() >= end.size() && name.compare(name.size() - end.size(), end.size(), end) == 0;
}

}  // namespace internal

// In one dimension the hidden states of all tokens are 0, and those of kPoisonedToken are 100, in every
// layer. The weight of `norm` is 3e38 there, so its output overflows for kPoisonedToken alone. `norm`: the
// name of a layer's input_layernorm or post_attention_layernorm, or model.norm.weight.
inline std::string WritePoisonedCheckpoint(const std::string& norm, TinyModel model = {}) {
  model.fp8 = false;
  return WriteTinyCheckpoint(model, [norm](TinyTensor& tensor) {
    using internal::EndsWith, internal::kPoisonedDim, internal::SetBf16;
    if (EndsWith(tensor.name, "embed_tokens.weight")) {
      for (int64_t token = 0; token < tensor.shape[0]; ++token) {
        SetBf16(tensor, token * tensor.shape[1] + kPoisonedDim, token == kPoisonedToken ? 100.0f : 0.0f);
      }
    } else if (EndsWith(tensor.name, "o_proj.weight") || EndsWith(tensor.name, "down_proj.weight")) {
      for (int64_t i = 0; i < tensor.shape[1]; ++i) SetBf16(tensor, kPoisonedDim * tensor.shape[1] + i, 0.0f);
    } else if (tensor.name == norm) {
      SetBf16(tensor, kPoisonedDim, 3e38f);
    }
  });
}

}  // namespace deeprack::worker::testing
