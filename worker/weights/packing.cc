#include "worker/weights/packing.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/block_formats.h"
#include "base/check.h"
#include "base/checked.h"
#include "base/status_macros.h"
#include "base/weight_geometry.h"
#include "checkpoint/group_quantized/group_quantized.h"
#include "checkpoint/tensor_view.h"
#include "kernels/api/int4_tiles.h"
#include "kernels/api/packed_weight.h"
#include "kernels/api/weight_packing.h"
#include "model/tensors/group_types.h"
#include "worker/weights/finite_check.h"

namespace deeprack::worker {
namespace {

using kernels::SourceMatrix;
using model::TensorKind;
using sizing::PackedTensor;
using sizing::WeightForm;

// Where element (row, col) of a packed matrix lies.
int64_t PackedIndex(int64_t row, int64_t col, int64_t cols) {
  return (row / kPanelRows * cols + col) * kPanelRows + row % kPanelRows;
}

// One slice of a tensor, with the memory that its values and scales need.
struct SliceSource {
  std::optional<checkpoint::AlignedBytes> values;
  std::optional<checkpoint::AlignedBytes> scales;
  std::vector<std::byte> blocks;     // made of a checkpoint's integers in groups
  std::vector<float> expanded;       // dequantised blocks
  std::vector<std::byte> reordered;  // rows in the kernels' order
  SourceMatrix matrix;
};

absl::Status NotFinite(const std::string& name, const checkpoint::CheckpointReader& reader) {
  return absl::DataLossError(absl::StrCat("tensor ", name, " in ", reader.FileOf(name),
                                          " holds NaN or infinity: the file is damaged; fetch it again"));
}

// Expands the rows to fp32: the whole blocks around the slice's columns, since a slice may cut blocks.
void Expand(const checkpoint::TensorView& view, int64_t all_cols, SliceSource& source) {
  SourceMatrix& matrix = source.matrix;
  const int64_t block = BlockElements(view.dtype);
  const int64_t first = matrix.col_begin / block * block;
  const int64_t cols = RoundUp(matrix.col_begin + matrix.cols, block) - first;
  source.expanded.resize(static_cast<size_t>(matrix.rows * cols));
  for (int64_t row = 0; row < matrix.rows; ++row) {
    const int64_t begin = (matrix.row_begin + row) * all_cols + first;
    Dequantize(view.dtype, view.bytes.data() + BytesOf(view.dtype, begin), cols,
               source.expanded.data() + row * cols);
  }
  matrix.type = DType::kF32;
  matrix.row_stride = cols;
  matrix.data = source.expanded.data() + (matrix.col_begin - first);
}

// Reads the rows as blocks if the matrix keeps them, else as fp32.
absl::Status ReadGroups(const model::GroupQuantization& quantization,
                        const checkpoint::CheckpointReader& reader, const PackingPiece& piece,
                        SliceSource& source) {
  const sizing::WeightPart& part = piece.tensor->parts[piece.part];
  DR_ASSIGN_OR_RETURN(const checkpoint::GroupQuantizedWeight weight,
                      checkpoint::GroupQuantizedWeight::Open(reader, quantization, part.tensor.name,
                                                             part.tensor.shape[0], part.tensor.shape[1]));
  const model::Slice slice = {.row_begin = part.slice.row_begin + piece.row_begin,
                              .rows = piece.rows,
                              .col_begin = part.slice.col_begin,
                              .cols = part.slice.cols};
  source.matrix = {.row_stride = slice.cols, .rows = slice.rows, .cols = slice.cols};
  if (piece.tensor->type == weight.block_type()) {
    source.blocks.resize(static_cast<size_t>(BytesOf(weight.block_type(), slice.rows * slice.cols)));
    source.matrix.type = weight.block_type();
    source.matrix.data = source.blocks.data();
    return weight.ReadBlocks(slice, source.blocks.data());
  }
  source.expanded.resize(static_cast<size_t>(slice.rows * slice.cols));
  source.matrix.type = DType::kF32;
  source.matrix.data = source.expanded.data();
  return weight.ReadValues(slice, source.expanded.data());
}

// Opens the piece's rows as they lie in the file, or expanded if the matrix does not keep blocks, and checks
// them.
absl::Status OpenSlice(const model::ModelConfig& config, const checkpoint::CheckpointReader& reader,
                       const PackingPiece& piece, SliceSource& source) {
  const sizing::WeightPart& part = piece.tensor->parts[piece.part];
  const std::string& name = part.tensor.name;
  if (model::IsStoredInGroups(config, part.tensor)) {
    return ReadGroups(*config.group_quantization, reader, piece, source);
  }
  DR_ASSIGN_OR_RETURN(const checkpoint::TensorView view, reader.Get(name));
  SourceMatrix& matrix = source.matrix;
  matrix.type = view.dtype;
  matrix.rows = piece.rows;
  matrix.cols = part.slice.cols;
  matrix.row_stride = part.tensor.shape.size() > 1 ? part.tensor.shape[1] : 1;
  matrix.row_begin = part.slice.row_begin + piece.row_begin;
  matrix.col_begin = part.slice.col_begin;
  if (IsBlockFormat(view.dtype) && piece.tensor->type != view.dtype) {
    Expand(view, matrix.row_stride, source);
  } else {
    source.values.emplace(view);
    matrix.data = static_cast<const std::byte*>(source.values->data()) +
                  BytesOf(view.dtype, matrix.row_begin * matrix.row_stride + matrix.col_begin);
  }
  if (!AllFinite(matrix.type, matrix.data, matrix.rows, matrix.cols, matrix.row_stride)) {
    return NotFinite(name, reader);
  }
  if (view.dtype != DType::kF8E4M3) return absl::OkStatus();

  DR_ASSIGN_OR_RETURN(const checkpoint::TensorView scale, reader.Get(part.tensor.scale_name()));
  DR_CHECK(scale.dtype == DType::kF32 && scale.shape.size() == 2);
  source.scales.emplace(scale);
  matrix.scales = static_cast<const float*>(source.scales->data());
  matrix.scale_cols = scale.shape[1];
  if (!AllFinite(scale.dtype, matrix.scales, scale.shape[0], scale.shape[1], scale.shape[1])) {
    return NotFinite(part.tensor.scale_name(), reader);
  }
  return absl::OkStatus();
}

// `source` as fp32 in packed order. PackRows converts from every type.
std::vector<float> ToPackedFloats(const SourceMatrix& source) {
  std::vector<float> packed(static_cast<size_t>(RoundUp(source.rows, kPanelRows) * source.cols));
  kernels::PackRows(source, {DType::kF32, 0, source.rows, packed.data(), nullptr});
  return packed;
}

// Rows [begin, begin + rows) of a source.
SourceMatrix SourceRows(SourceMatrix source, int64_t begin, int64_t rows) {
  source.data = static_cast<const std::byte*>(source.data) + BytesOf(source.type, begin * source.row_stride);
  source.row_begin += begin;
  source.rows = rows;
  return source;
}

// Writes `source` row-major in an activation's type.
void WriteRows(const SourceMatrix& source, DType type, std::byte* out) {
  if (source.type == type) {
    const auto* from = static_cast<const std::byte*>(source.data);
    const int64_t row_bytes = BytesOf(type, source.cols);
    for (int64_t row = 0; row < source.rows; ++row) {
      std::memcpy(out + row * row_bytes, from + BytesOf(type, row * source.row_stride),
                  static_cast<size_t>(row_bytes));
    }
    return;
  }
  const std::vector<float> values = ToPackedFloats(source);
  DispatchActivation(type, [&](auto zero) {
    using T = decltype(zero);
    T* to = reinterpret_cast<T*>(out);
    for (int64_t row = 0; row < source.rows; ++row) {
      for (int64_t col = 0; col < source.cols; ++col) {
        *to++ = FromFloat<T>(values[PackedIndex(row, col, source.cols)]);
      }
    }
  });
}

// Packs one whole matrix of an absorbed form.
void PackForm(const SourceMatrix& source, const PackedTensor& tensor, std::byte* out) {
  if (tensor.layout == WeightLayout::kRows) return WriteRows(source, tensor.type, out);
  kernels::PackRows(source, {tensor.type, 0, source.rows, out, nullptr});
}

// kv_b holds for each head qk_nope_head_dim rows of the key, then v_head_dim rows of the value. Its halves
// k_b and v_b hold the forms themselves, head after head.
void FillAbsorbed(const model::ModelConfig& config, const PackingPiece& piece, const SourceMatrix& source,
                  std::byte* values) {
  const PackedTensor& tensor = *piece.tensor;
  const int64_t nope = config.qk_nope_head_dim;
  const int64_t head_rows = nope + config.v_head_dim;
  const bool is_half = tensor.parts[piece.part].tensor.kind != TensorKind::kKvBProj;
  std::vector<float> transposed(static_cast<size_t>(nope * config.kv_lora_rank));
  for (int64_t head = 0; head < tensor.count; ++head) {
    std::byte* out = values + head * tensor.value_bytes;
    if (is_half || tensor.form == WeightForm::kAbsorbedValue) {
      const int64_t first_row = is_half ? head * tensor.rows : head * head_rows + nope;
      const SourceMatrix as_stored = SourceRows(source, first_row, tensor.rows);
      PackForm(as_stored, tensor, out);
      continue;
    }
    const std::vector<float> key = ToPackedFloats(SourceRows(source, head * head_rows, nope));
    for (int64_t row = 0; row < nope; ++row) {
      for (int64_t col = 0; col < source.cols; ++col) {
        transposed[col * nope + row] = key[PackedIndex(row, col, source.cols)];
      }
    }
    const SourceMatrix turned = {.data = transposed.data(),
                                 .row_stride = nope,
                                 .type = DType::kF32,
                                 .rows = source.cols,
                                 .cols = nope};
    PackForm(turned, tensor, out);
  }
}

// True when rope rows are reordered. Queries and keys are reordered alike, so attention scores stay equal.
bool PermutesRows(const model::ModelConfig& config, const PackedTensor& tensor) {
  return sizing::ReordersRopeRows(config, tensor.kind);
}

// The checkpoint's rope row that is row i of the kernels.
int64_t RopeRow(int64_t i, int64_t rope_dim) { return i / 2 + i % 2 * (rope_dim / 2); }

// Calls visit(first row, rope_dim) for the rope rows of each head.
template <class Visit>
void ForRopeRows(const model::ModelConfig& config, const PackedTensor& tensor, const Visit& visit) {
  const int64_t rope = config.qk_rope_head_dim;
  const int64_t stride = tensor.kind == TensorKind::kKvAProj ? tensor.rows : config.qk_head_dim();
  for (int64_t end = stride; end <= tensor.rows; end += stride) visit(end - rope, rope);
}

// Reorders rope rows before packing: packed blocks cannot be reordered.
void ReorderSource(const model::ModelConfig& config, const PackedTensor& tensor, SliceSource& source) {
  SourceMatrix& matrix = source.matrix;
  const int64_t row_bytes = BytesOf(matrix.type, matrix.cols);
  const auto* from = static_cast<const std::byte*>(matrix.data);
  const auto copy = [&](int64_t to, int64_t row) {
    std::memcpy(source.reordered.data() + to * row_bytes,
                from + BytesOf(matrix.type, row * matrix.row_stride), static_cast<size_t>(row_bytes));
  };
  source.reordered.resize(static_cast<size_t>(matrix.rows * row_bytes));
  for (int64_t row = 0; row < matrix.rows; ++row) copy(row, row);
  ForRopeRows(config, tensor, [&](int64_t first, int64_t rope) {
    for (int64_t i = 0; i < rope; ++i) copy(first + i, first + RopeRow(i, rope));
  });
  matrix.data = source.reordered.data();
  matrix.row_stride = matrix.cols;
}

template <class T>
void ReorderPackedRows(T* packed, int64_t cols, int64_t first_row, int64_t rope_dim) {
  std::vector<T> halves(static_cast<size_t>(rope_dim));
  for (int64_t col = 0; col < cols; ++col) {
    for (int64_t i = 0; i < rope_dim; ++i) halves[i] = packed[PackedIndex(first_row + i, col, cols)];
    for (int64_t i = 0; i < rope_dim; ++i) {
      packed[PackedIndex(first_row + i, col, cols)] = halves[RopeRow(i, rope_dim)];
    }
  }
}

// Reorders rope rows after packing, which has given each fp8 row the scale of its block.
void ReorderPackedFp8(const model::ModelConfig& config, const PackedTensor& tensor, std::byte* values,
                      float* scales) {
  const int64_t blocks = ScaleBlocksOf(tensor.cols, tensor.col_begin);
  ForRopeRows(config, tensor, [&](int64_t first, int64_t rope) {
    ReorderPackedRows(reinterpret_cast<uint8_t*>(values), tensor.cols, first, rope);
    ReorderPackedRows(scales, blocks, first, rope);
  });
}

// Rows of a panel or tile: pieces begin at multiples.
int64_t RowsTogether(const PackedTensor& tensor) {
  return IsTiles(tensor.layout) ? kInt4TileRows : kPanelRows;
}

void FillTiles(const PackedTensor& tensor, const SourceMatrix& source, std::byte* values) {
  std::memset(values, 0, static_cast<size_t>(Int4Bytes(1, source.rows, source.cols)));
  const auto* const blocks = static_cast<const std::byte*>(source.data);
  for (int64_t row = 0; row < source.rows; ++row) {
    kernels::PackInt4Row(
        reinterpret_cast<const BlockInt4G128*>(blocks + BytesOf(source.type, row * source.row_stride)), row,
        source.cols, tensor.layout, values);
  }
}

// Packs the piece: whole panels of its part, or the part's end with its padding.
void FillPacked(const PackingPiece& piece, const SourceMatrix& source, std::byte* values, std::byte* scales) {
  const PackedTensor& tensor = *piece.tensor;
  if (IsTiles(tensor.layout)) return FillTiles(tensor, source, values);
  if (tensor.layout == WeightLayout::kRows) {
    if (tensor.type != DType::kF8E4M3) return WriteRows(source, tensor.type, values);
    return kernels::PackRowMajor(source, 0, values, reinterpret_cast<float*>(scales));
  }
  const int64_t rows_left = tensor.parts[piece.part].slice.rows - piece.row_begin;
  kernels::PackRows(source, {tensor.type, 0, rows_left, values,
                             tensor.scale_bytes == 0 ? nullptr : reinterpret_cast<float*>(scales)});
}

}  // namespace

PieceExtent ExtentOf(const PackingPiece& piece) {
  const PackedTensor& tensor = *piece.tensor;
  const int64_t row_bytes = tensor.cols * static_cast<int64_t>(SizeOf(tensor.type));
  switch (tensor.form) {
    case WeightForm::kAbsorbedKey:
    case WeightForm::kAbsorbedValue:
      return {.value_bytes = tensor.bytes()};
    case WeightForm::kTable:
      return {.value_begin = piece.row_begin * row_bytes, .value_bytes = piece.rows * row_bytes};
    case WeightForm::kVector:
    case WeightForm::kPacked:
      break;
  }
  const int64_t first_row = tensor.parts[piece.part].first_row + piece.row_begin;
  if (IsTiles(tensor.layout)) {
    const auto bytes = [&](int64_t rows) { return Int4Bytes(1, rows, tensor.cols); };
    return {.value_begin = bytes(first_row), .value_bytes = bytes(piece.rows)};
  }
  const int64_t rows = RoundUp(piece.rows, kPanelRows);
  const int64_t panel_bytes = tensor.cols / BlockElements(tensor.type) * PackedBlockBytes(tensor.type);
  const int64_t panel_scale_bytes = tensor.scale_bytes == 0 ? 0
                                                            : ScaleBlocksOf(tensor.cols, tensor.col_begin) *
                                                                  ScalesOfPanel(tensor.layout) *
                                                                  static_cast<int64_t>(sizeof(float));
  return {.value_begin = first_row / kPanelRows * panel_bytes,
          .value_bytes = rows / kPanelRows * panel_bytes,
          .scale_begin = tensor.value_bytes + first_row / kPanelRows * panel_scale_bytes,
          .scale_bytes = rows / kPanelRows * panel_scale_bytes};
}

void AppendPieces(const model::ModelConfig& config, const PackedTensor& tensor, std::byte* memory,
                  std::vector<PackingPiece>& pieces, int64_t piece_elements) {
  const bool whole = tensor.form == WeightForm::kAbsorbedKey || tensor.form == WeightForm::kAbsorbedValue ||
                     PermutesRows(config, tensor);
  for (size_t part = 0; part < tensor.parts.size(); ++part) {
    const model::Slice& slice = tensor.parts[part].slice;
    const int64_t step =
        whole ? slice.rows : RoundUp(CeilDiv(piece_elements, slice.cols), RowsTogether(tensor));
    for (int64_t begin = 0; begin < slice.rows; begin += step) {
      pieces.push_back({.tensor = &tensor,
                        .part = part,
                        .memory = memory,
                        .row_begin = begin,
                        .rows = std::min(step, slice.rows - begin)});
    }
  }
}

absl::Status PackPiece(const model::ModelConfig& config, const checkpoint::CheckpointReader& reader,
                       const PackingPiece& piece, std::byte* values, std::byte* scales) {
  SliceSource source;
  DR_RETURN_IF_ERROR(OpenSlice(config, reader, piece, source));
  const PackedTensor& tensor = *piece.tensor;
  const bool is_fp8 = tensor.type == DType::kF8E4M3;
  if (PermutesRows(config, tensor) && !is_fp8) ReorderSource(config, tensor, source);
  switch (tensor.form) {
    case WeightForm::kTable:
      WriteRows(source.matrix, tensor.type, values);
      break;
    case WeightForm::kAbsorbedKey:
    case WeightForm::kAbsorbedValue:
      FillAbsorbed(config, piece, source.matrix, values);
      break;
    case WeightForm::kVector:  // packed, one column is a plain vector
    case WeightForm::kPacked:
      FillPacked(piece, source.matrix, values, scales);
      break;
  }
  if (PermutesRows(config, tensor) && is_fp8) {
    ReorderPackedFp8(config, tensor, values, reinterpret_cast<float*>(scales));
  }
  return absl::OkStatus();
}

}  // namespace deeprack::worker
