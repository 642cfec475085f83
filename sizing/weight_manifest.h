// The list of every weight that a rank holds: source slices, form and type in memory, bytes, place. It is
// made once, and packing, loading, packed files, footprint and kernel scratch all follow it.
//
// Types. Linear weights keep the type that the checkpoint's config says: fp8 stays fp8. With bf16 compute,
// block formats that the kernels multiply stay too, where the rank's columns are whole blocks and all parts
// of the matrix have one type. Every other linear weight has the compute type (bf16 compute: f16, f32 and
// other blocks become bf16; f32 compute: all become f32). Norms and the router's bias are fp32 vectors. The
// router's weight is a packed fp32 matrix, or bf16 where WeightForms says so. The embedding has the compute
// type. kv_b stands twice for each head in the compute type: in the two forms that absorbed attention
// multiplies by. With RankSpec::has_mtp, the MTP layer's weights follow those of a decoder layer. The layer
// uses the model's own embedding and head: the checkpoint's copies of both have no entries, and the last
// stage also holds the embedding.
//
// Layouts. With bf16 compute, matrices of the types in WeightForms::row_major are row-major where their sizes
// and slices allow it (FitsRowMajor). int4 lies in tiles where its slices allow it (FitsTiles), and has the
// compute type elsewhere. All other matrices are panels.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "base/dtype.h"
#include "base/weight_layout.h"
#include "checkpoint/checkpoint_reader.h"
#include "kernels/api/kernel_needs.h"
#include "model/shard/shard.h"
#include "model/tensors/tensor_registry.h"
#include "sizing/rank_spec.h"
#include "sizing/weight_forms.h"

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
  // Gate and up of a feed-forward are one matrix, with the gate's kind. The head of a model with
  // tie_word_embeddings has kind kLmHead, and the embedding as its part.
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
  int64_t offset = 0;       // bytes from the begin of the weights' memory, a multiple of kWeightAlignment
  // kGateProj, kExpertGate, kSharedGate: gate at row 0, up at the next multiple of kPanelRows after it, so
  // that rows = RoundUp(n, kPanelRows) + n. Otherwise one part.
  std::vector<WeightPart> parts;

  int64_t bytes() const { return count * (value_bytes + scale_bytes); }
};

// True when loading reorders the rows of this kind of tensor that the rotary embedding turns. The kernels
// rotate rows (2i, 2i + 1); a checkpoint with rope_interleave false pairs rows (i, i + r/2).
bool ReordersRopeRows(const model::ModelConfig& config, model::TensorKind kind);

// True when a bf16 or fp8 matrix with these parts can lie row-major: its rows are whole panels, and a row is
// a multiple of 16 bytes. fp8 also needs eight neighbouring rows that share their scales: slices begin at
// multiples of 8 rows and 128 columns of their tensors, and loading reorders no rows.
bool FitsRowMajor(const model::ModelConfig& config, const PackedTensor& matrix);

// True when an int4 matrix of whole groups with these parts can lie in tiles: its rows are whole panels, and
// no tile has rows of two parts.
bool FitsTiles(const PackedTensor& matrix);

// In the order of the layers: the embedding, each layer's weights, final norm and head, the MTP layer's
// weights (the embedding first, if the rank's stage is not the first). Entries follow each other in memory
// without gaps.
struct WeightManifest {
  std::vector<PackedTensor> tensors;
  int64_t bytes = 0;  // of all
};

WeightManifest ManifestOf(const RankSpec& spec, const WeightForms& forms);

// With WeightFormsOf the checkpoint. Errors: those of WeightFormsOf.
absl::StatusOr<WeightManifest> ManifestOf(const RankSpec& spec, const checkpoint::CheckpointReader& reader,
                                          const kernels::KernelNeeds& kernels);

}  // namespace deeprack::sizing
