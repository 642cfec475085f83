// Writes cache entries in fp8 (base/fp8_kv_page.h). A token has a few hundred values for each layer, so this
// needs no vector code and all sets share it.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/e4m3.h"
#include "base/fp8_kv_page.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/parallel.h"

namespace deeprack::kernels {
namespace {

constexpr int64_t kRowsPerTask = 16;

float ValueOf(const Matrix& matrix, int64_t row, int64_t column) {
  return DispatchActivation(matrix.type,
                            [&](auto type) { return ToFloat(matrix.row<decltype(type)>(row)[column]); });
}

void WriteEntry(const KvWriteArgs& args, const Fp8KvPage& page, int64_t row) {
  const int64_t slot = args.slots[row];
  if (slot < 0) return;
  float largest = 0;  // NaN is never larger
  for (int64_t c = 0; c < page.latent_dim; ++c) {
    const float magnitude = std::abs(ValueOf(args.latent, row, c));
    if (magnitude > largest) largest = magnitude;
  }
  const int exponent = ScaleExponent(largest);
  const float shrink = PowerOfTwo(-exponent), scale = PowerOfTwo(exponent);
  auto* const cache = static_cast<uint8_t*>(args.cache);
  uint8_t* const entry = cache + page.EntryAt(slot);
  for (int64_t c = 0; c < page.latent_dim; ++c) entry[c] = ToE4M3(ValueOf(args.latent, row, c) * shrink).bits;
  for (int64_t c = 0; c < page.rope_dim; ++c) {
    const bf16 value = ToBF16(ValueOf(args.rope_key, row, c) * shrink);
    std::memcpy(entry + page.rope_begin() + 2 * c, &value, sizeof(value));
  }
  std::memcpy(cache + page.ScaleAt(slot), &scale, sizeof(scale));
}

}  // namespace

void WriteFp8Entries(const KvWriteArgs& args, const Execution& execution) {
  const auto task = [](void* context, int64_t i) {
    const auto& of = *static_cast<const KvWriteArgs*>(context);
    const Fp8KvPage page = {.latent_dim = of.latent.cols, .rope_dim = of.rope_key.cols};
    const int64_t end = std::min(of.latent.rows, (i + 1) * kRowsPerTask);
    for (int64_t row = i * kRowsPerTask; row < end; ++row) WriteEntry(of, page, row);
  };
  KvWriteArgs copy = args;
  RunParallel(execution, (args.latent.rows + kRowsPerTask - 1) / kRowsPerTask, task, &copy);
}

}  // namespace deeprack::kernels
