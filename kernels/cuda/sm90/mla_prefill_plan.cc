#include <algorithm>

#include "kernels/cuda/sm90/mla_prefill.h"

namespace deeprack::kernels::sm90 {

std::vector<MlaPrefillItem> PlanMlaPrefill(const MlaPrefillSequence* sequences, int64_t num_sequences) {
  std::vector<MlaPrefillItem> items;
  for (int64_t s = 0; s < num_sequences; ++s) {
    const MlaPrefillSequence& sequence = sequences[s];
    for (int32_t begin = 0; begin < sequence.rows; begin += kPrefillTile) {
      const int32_t rows = std::min<int32_t>(kPrefillTile, sequence.rows - begin);
      const int32_t position = sequence.first_position + begin;
      const int32_t seen = std::clamp(position + rows - sequence.kv_begin, 0, sequence.kv_tokens);
      items.push_back({sequence.first_row + begin, rows, position, sequence.kv_row, sequence.kv_begin,
                       (seen + kPrefillTile - 1) / kPrefillTile});
    }
  }
  std::stable_sort(items.begin(), items.end(),
                   [](const MlaPrefillItem& a, const MlaPrefillItem& b) { return a.kv_tiles > b.kv_tiles; });
  return items;
}

}  // namespace deeprack::kernels::sm90
