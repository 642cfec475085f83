// A KV cache in fp8 (base/fp8_kv_page.h), read and written in fp64.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/e4m3.h"
#include "base/fp8_kv_page.h"
#include "kernels/reference/reference.h"

namespace deeprack::kernels::reference {

// An fp8 cache, entry by entry.
class Fp8Entries {
 public:
  Fp8Entries(void* cache, int64_t latent_dim, int64_t rope_dim)
      : bytes_(static_cast<uint8_t*>(cache)), page_{.latent_dim = latent_dim, .rope_dim = rope_dim} {}

  double Get(int64_t slot, int64_t col) const {
    float scale;
    std::memcpy(&scale, bytes_ + page_.ScaleAt(slot), sizeof(scale));
    const uint8_t* entry = bytes_ + page_.EntryAt(slot);
    if (col < page_.latent_dim)
      return static_cast<double>(ToFloat(fp8_e4m3{entry[col]})) * static_cast<double>(scale);
    bf16 value;
    std::memcpy(&value, entry + page_.rope_begin() + 2 * (col - page_.latent_dim), sizeof(value));
    return static_cast<double>(ToFloat(value)) * static_cast<double>(scale);
  }

  void Write(int64_t slot, const KvWriteArgs& args, int64_t row) const {
    double largest = 0;
    for (int64_t c = 0; c < page_.latent_dim; ++c)
      largest = std::fmax(largest, std::abs(Get(args.latent, row, c)));
    double scale = std::ldexp(1.0, kSmallestScaleExponent);
    while (largest > 448 * scale && scale < std::ldexp(1.0, 120)) scale *= 2;
    uint8_t* entry = bytes_ + page_.EntryAt(slot);
    for (int64_t c = 0; c < page_.latent_dim; ++c)
      entry[c] = ToE4M3(static_cast<float>(Get(args.latent, row, c) / scale)).bits;
    for (int64_t c = 0; c < page_.rope_dim; ++c) {
      const bf16 value = ToBF16(static_cast<float>(Get(args.rope_key, row, c) / scale));
      std::memcpy(entry + page_.rope_begin() + 2 * c, &value, sizeof(value));
    }
    const auto stored = static_cast<float>(scale);
    std::memcpy(bytes_ + page_.ScaleAt(slot), &stored, sizeof(stored));
  }

 private:
  double Get(const Matrix& matrix, int64_t row, int64_t col) const {
    return reference::Get(matrix, row, col);
  }
  uint8_t* bytes_;
  Fp8KvPage page_;
};

}  // namespace deeprack::kernels::reference
