// What a rank's weights become in memory: one entry for each allocation. The budget sums these and the worker
// allocates and fills exactly these, so that the two cannot disagree.
//
// Types. Linear weights are kept as the checkpoint's config says: fp8 stays fp8. With bf16 compute, so do
// block formats that the kernels multiply, where the rank's columns are whole blocks and all parts of the
// matrix are of one type. Every other one is stored in the compute type (bf16 compute: bf16 stays, f16, f32
// and other blocks become bf16; f32 compute: f32). Norms and the router's bias are fp32 vectors, the router's
// weight a packed fp32 matrix, or bf16 where the kernels want it so and it is; the embedding is in the
// compute type. kv_b is stored twice per head in the compute type, in the two forms that absorbed attention
// multiplies by. MTP layers have no entries: they are not loaded until speculation uses them.
//
// Layouts. With bf16 compute, matrices of the types that the kernels want row-major lie so, where their sizes
// and the places of their slices allow it (FitsRowMajor), and int4 in the tiles that they want (FitsTiles;
// what does not fit is expanded); all others are panels.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/weight_layout.h"
#include "model/layout/layout.h"
#include "model/shard/shard.h"
#include "model/tensors/tensor_registry.h"
#include "model/tensors/tensor_types.h"

namespace deeprack::sizing {

enum class WeightForm : uint8_t {
  kVector,         // rows fp32 values
  kTable,          // [rows, cols] row-major: the embedding
  kPacked,         // one packed matrix [rows, cols] (kernels/api/packed_weight.h)
  kAbsorbedKey,    // per head a packed matrix W_uk,h^T: [kv_lora_rank, qk_nope_head_dim]
  kAbsorbedValue,  // per head a packed matrix W_uv,h: [v_head_dim, kv_lora_rank]
};

// A slice of a checkpoint tensor and the row of the packed matrix where it begins.
struct WeightPart {
  model::TensorSpec tensor;
  model::Slice slice;
  int64_t first_row = 0;
};

struct PackedTensor {
  // The decoder's name for it. Gate and up of a feed-forward are one matrix under the gate's kind; the head
  // of a model with tie_word_embeddings is kLmHead, though its part is the embedding.
  model::TensorKind kind;
  WeightForm form;
  int64_t layer = -1;
  int64_t expert = -1;
  DType type = DType::kF32;  // of the stored values
  WeightLayout layout = WeightLayout::kPanels;
  int64_t count = 1;  // matrices: the rank's heads in the absorbed forms, else 1
  int64_t rows = 0;   // of each matrix
  int64_t cols = 0;
  int64_t col_begin = 0;    // fp8: where the slice begins in the whole tensor
  int64_t value_bytes = 0;  // of each matrix, padded to kWeightAlignment
  int64_t scale_bytes = 0;  // of each matrix, padded; 0 unless fp8
  // kGateProj, kExpertGate, kSharedGate: gate at row 0, up at the next multiple of kPanelRows after it, so
  // that rows = RoundUp(n, kPanelRows) + n. Otherwise one part.
  std::vector<WeightPart> parts;

  int64_t bytes() const { return count * (value_bytes + scale_bytes); }
};

// Whether the rows of this kind of tensor that rotary embedding turns are put in another order at load: the
// kernels rotate pairs (2i, 2i + 1), a checkpoint with rope_interleave false has pairs (i, i + r/2).
bool ReordersRopeRows(const model::ModelConfig& config, model::TensorKind kind);

// Whether a bf16 or fp8 matrix with these parts can lie row-major: its rows are whole panels, a row is a
// multiple of 16 bytes, and eight neighbouring fp8 rows share their scales: slices begin at multiples of 8
// rows and 128 columns of their tensors, and no row is moved.
bool FitsRowMajor(const model::ModelConfig& config, const PackedTensor& matrix);

// Whether an int4 matrix of whole groups with these parts can lie in tiles: its rows are whole panels, and no
// tile is shared by two parts.
bool FitsTiles(const PackedTensor& matrix);

// In the order of the layers: the embedding, each layer's weights, final norm and head. `compute` is kBF16 or
// kF32; `types` are the checkpoint's, or empty where the kernels multiply no block formats; `row_major` is
// what the kernels want.
std::vector<PackedTensor> PackedTensorsOf(const model::ModelConfig& config, const model::Layout& layout,
                                          Rank rank, DType compute, const model::TensorTypes& types = {},
                                          const RowMajorTypes& row_major = {});

// Bytes of all of them.
int64_t WeightBytes(const model::ModelConfig& config, const model::Layout& layout, Rank rank, DType compute,
                    const model::TensorTypes& types = {}, const RowMajorTypes& row_major = {});

}  // namespace deeprack::sizing
