#include "worker/engine/fault_place.h"

#include <cmath>
#include <cstddef>
#include <cstring>
#include <vector>

#include "base/dtype.h"
#include "base/fp8_kv_page.h"
#include "base/status_macros.h"
#include "sizing/kv_pages.h"

namespace deeprack::worker {
namespace {

template <class T>
bool Finite(const std::byte* values, int64_t count, float scale = 1) {
  for (int64_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, values + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
    if (!std::isfinite(scale * ToFloat(value))) return false;
  }
  return true;
}

// Activations and KV entries are bf16 or fp32.
bool Finite(DType type, const std::vector<std::byte>& values) {
  const auto count = static_cast<int64_t>(values.size() / SizeOf(type));
  return type == DType::kBF16 ? Finite<bf16>(values.data(), count) : Finite<float>(values.data(), count);
}

absl::StatusOr<std::vector<std::byte>> Read(Device& device, const void* from, int64_t bytes) {
  std::vector<std::byte> copy(static_cast<size_t>(bytes));
  DR_RETURN_IF_ERROR(device.CopyOut(copy.data(), from, bytes));
  DR_RETURN_IF_ERROR(device.Synchronize());
  return copy;
}

absl::StatusOr<bool> EntryIsFinite(Device& device, const sizing::RankSpec& spec, const void* layer,
                                   int64_t slot) {
  const auto* pages = static_cast<const std::byte*>(layer);
  if (spec.cache_type != DType::kF8E4M3) {
    const int64_t bytes = sizing::KvEntryElements(spec) * static_cast<int64_t>(SizeOf(spec.cache_type));
    DR_ASSIGN_OR_RETURN(const std::vector<std::byte> entry, Read(device, pages + slot * bytes, bytes));
    return Finite(spec.cache_type, entry);
  }
  const Fp8KvPage page = {.latent_dim = spec.config.kv_lora_rank, .rope_dim = spec.config.qk_rope_head_dim};
  DR_ASSIGN_OR_RETURN(const std::vector<std::byte> entry,
                      Read(device, pages + page.EntryAt(slot), page.entry_bytes()));
  DR_ASSIGN_OR_RETURN(const std::vector<std::byte> scale_bytes,
                      Read(device, pages + page.ScaleAt(slot), sizeof(float)));
  float scale = 0;
  std::memcpy(&scale, scale_bytes.data(), sizeof(scale));
  return Finite<fp8_e4m3>(entry.data(), page.latent_dim, scale) &&
         Finite<bf16>(entry.data() + page.rope_begin(), page.rope_dim);
}

}  // namespace

absl::Status FindFaultPlace(Device& device, const sizing::RankSpec& spec, const KvCache& cache,
                            const kernels::Matrix& hidden, int64_t slot, model::NonFiniteRow& row) {
  using Place = model::NonFiniteRow::Place;
  const auto [first, end] = spec.layers();
  for (int64_t layer = first; layer < end; ++layer) {
    DR_ASSIGN_OR_RETURN(const bool finite, EntryIsFinite(device, spec, cache.layer(layer - first), slot));
    if (finite) continue;
    row.place = Place::kKvEntry;
    row.layer = static_cast<int32_t>(layer);
    return absl::OkStatus();
  }
  const int64_t bytes = hidden.cols * static_cast<int64_t>(SizeOf(hidden.type));
  DR_ASSIGN_OR_RETURN(const std::vector<std::byte> state, Read(device, hidden.data, bytes));
  row.place = Finite(hidden.type, state) ? Place::kHead : Place::kHiddenState;
  row.layer = static_cast<int32_t>(end - 1);
  return absl::OkStatus();
}

}  // namespace deeprack::worker
