// From slices of checkpoint tensors to the rank's packed matrices, in independent pieces that threads can
// share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "checkpoint/checkpoint_reader.h"
#include "model/config/model_config.h"
#include "sizing/weight_manifest.h"

namespace deeprack::worker {

// Of the bytes that PackPiece writes. Packed files of another version are packed again: raise it whenever the
// same tensors become other bytes.
inline constexpr uint32_t kPackingVersion = 1;

// Rows [row_begin, row_begin + rows) of one part of a packed tensor.
struct PackingPiece {
  const sizing::PackedTensor* tensor = nullptr;
  size_t part = 0;
  std::byte* memory = nullptr;  // of the tensor, tensor->bytes() of it, where its kernels run
  int64_t row_begin = 0;        // within the part's slice; whole panels, or tiles
  int64_t rows = 0;

  int64_t source_elements() const { return rows * tensor->parts[part].slice.cols; }
};

// The bytes of its tensor's memory that a piece fills: a run of values and, with fp8, a run of scales.
struct PieceExtent {
  int64_t value_begin = 0;
  int64_t value_bytes = 0;
  int64_t scale_begin = 0;
  int64_t scale_bytes = 0;
};
PieceExtent ExtentOf(const PackingPiece& piece);

// Enough for the threads to share, and for copies to be worth their while.
inline constexpr int64_t kPieceElements = 4 << 20;

// Cuts a tensor into pieces of about so many elements, or leaves it whole where rows do not stay where they
// are.
void AppendPieces(const model::ModelConfig& config, const sizing::PackedTensor& tensor, std::byte* memory,
                  std::vector<PackingPiece>& pieces, int64_t piece_elements = kPieceElements);

// Reads, checks and packs one piece to `values` and `scales`, host memory as large as its extent. Thread-safe
// for different pieces. DataLoss names a tensor that holds NaN or infinity; NotFound a missing one.
absl::Status PackPiece(const model::ModelConfig& config, const checkpoint::CheckpointReader& reader,
                       const PackingPiece& piece, std::byte* values, std::byte* scales);

}  // namespace deeprack::worker
