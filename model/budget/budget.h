// Bytes a rank needs, before it takes them. `plan` prints these numbers and the worker's arena enforces them:
// the worker allocates weights, KV and workspace of exactly these sizes.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "base/weight_layout.h"
#include "model/layout/layout.h"
#include "model/tensors/tensor_types.h"

namespace deeprack::model {

// Geometry of weights repacked for the kernels (kernels/api/packed_weight.h uses these formulas): rows in
// panels of kPanelRows, padded; per panel and row one fp32 scale for each (partial) 128-column block that the
// slice touches, or two a panel where the layout is kRows. Values and scales are padded to kWeightAlignment
// bytes each; PackedWeightBytes is the sum of the two, for panels. `col_begin` is where the slice begins in
// the whole tensor. Tiles of int4 (IsTiles) are whole: kTileRows rows by one group of 128 columns, each with
// a scale of 4 bytes and a zero of one for each row.
inline constexpr int64_t kPanelRows = 16;
inline constexpr int64_t kTileRows = 128;
inline constexpr int64_t kTileBytes = kTileRows * (64 + 4 + 1);
inline constexpr int64_t kWeightAlignment = 64;
int64_t PackedValueBytes(DType type, int64_t rows, int64_t cols, WeightLayout layout = WeightLayout::kPanels);
int64_t PackedScaleBytes(DType type, int64_t rows, int64_t cols, int64_t col_begin,
                         WeightLayout layout = WeightLayout::kPanels);
int64_t PackedWeightBytes(DType type, int64_t rows, int64_t cols, int64_t col_begin);

// What a step may hold unless someone says otherwise.
inline constexpr int32_t kDefaultMaxStepTokens = 2048;
inline constexpr int32_t kDefaultMaxSequences = 256;

struct StepLimits {
  int64_t max_step_tokens = 0;  // tokens in one step over all sequences of a dp group
  int64_t max_sequences = 0;
  int64_t max_context = 0;
};

// Elements that the rank caches per token and layer: latent and rope key (kv_lora_rank + qk_rope_head_dim),
// or the keys, then the values of its key-value heads.
int64_t KvEntryElements(const ModelConfig& config, const Layout& layout, Rank rank);

// Bytes of one KV page over all layers of the rank's stage: KvEntryElements of the cache type (kBF16, kF32)
// for each of its kPageTokens tokens and layer; or, of kF8E4M3, which CheckKvCacheType must allow, an
// Fp8KvPage a layer.
int64_t KvPageBytes(const ModelConfig& config, const Layout& layout, Rank rank, DType cache_type);

// Bytes of the rank's weights as the worker holds them (packed; vectors as fp32; kv_b expanded for
// absorption): the sum over PackedTensorsOf (model/budget/packed_tensors.h). Without MTP layers.
int64_t WeightBytes(const ModelConfig& config, const Layout& layout, Rank rank, DType compute,
                    const TensorTypes& types = {}, const RowMajorTypes& row_major = {});

}  // namespace deeprack::model
