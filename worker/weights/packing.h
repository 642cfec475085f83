// Packs slices of checkpoint tensors into the rank's matrices, in independent pieces that threads share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "checkpoint/checkpoint_reader.h"
#include "model/config/model_config.h"
#include "sizing/weight_manifest.h"

namespace deeprack::worker {

// Version of the bytes that PackPiece writes. Packed files of another version are packed again. Raise the
// version whenever the same tensors give other bytes.
inline constexpr uint32_t kPackingVersion = 1;

// Rows [row_begin, row_begin + rows) of one part of a packed tensor.
struct PackingPiece {
  const sizing::PackedTensor* tensor = nullptr;
  size_t part = 0;
  std::byte* memory = nullptr;  // of the whole tensor, tensor->bytes() of device memory
  int64_t row_begin = 0;        // within the part's slice; whole panels, or tiles
  int64_t rows = 0;

  int64_t source_elements() const { return rows * tensor->parts[part].slice.cols; }
};

// The bytes of the tensor's memory that a piece fills: a run of values and, with fp8, a run of scales.
struct PieceExtent {
  int64_t value_begin = 0;
  int64_t value_bytes = 0;
  int64_t scale_begin = 0;
  int64_t scale_bytes = 0;
};
PieceExtent ExtentOf(const PackingPiece& piece);

// Elements of a piece: small enough that all threads have work, large enough for efficient copies.
inline constexpr int64_t kPieceElements = 4 << 20;

// Cuts a tensor into pieces of about `piece_elements` elements. A tensor whose rows are reordered is one
// piece.
void AppendPieces(const model::ModelConfig& config, const sizing::PackedTensor& tensor, std::byte* memory,
                  std::vector<PackingPiece>& pieces, int64_t piece_elements = kPieceElements);

// Reads, checks and packs one piece to `values` and `scales`, host memory of the sizes in ExtentOf(piece).
// Thread-safe for different pieces. Errors: DataLoss (NaN or infinity, with the tensor's name), NotFound (a
// missing tensor).
absl::Status PackPiece(const model::ModelConfig& config, const checkpoint::CheckpointReader& reader,
                       const PackingPiece& piece, std::byte* values, std::byte* scales);

}  // namespace deeprack::worker
