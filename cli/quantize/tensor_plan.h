// The tensors of a GGUF file, and the rows of source tensors of which each is made.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/gguf_writer.h"
#include "cli/quantize/quant_type.h"
#include "model/config/model_config.h"
#include "model/tensors/tensor_registry.h"

namespace deeprack::cli {

// How source rows become rows of the file.
enum class RowOrder : uint8_t {
  kAsStored,
  // Rows r and r + n/2 of n become neighbours: the pairs of rope, which are half a head apart in Hugging
  // Face's llama.
  kHalvesInterleaved,
  kTransposed,  // columns become rows
};

// Rows [row_begin, row_begin + rows) of a source tensor, seen as a matrix of its last dimension's columns.
struct TensorPiece {
  std::string source;
  int64_t row_begin = 0;
  int64_t rows = 0;
  RowOrder order = RowOrder::kAsStored;
};

struct PlannedTensor {
  checkpoint::GgufTensorRecord record;
  model::TensorKind kind;           // the kind of the tensor, or of the tensor that it was split from
  std::vector<TensorPiece> pieces;  // the tensor's rows, one piece after the other
  std::vector<float> values;        // instead of pieces, for a tensor without a source
  int64_t parameters() const;
};

// The tensors that llama.cpp's converter makes of a Hugging Face checkpoint, typed by WeightType and
// FitToRow: a layer's experts as one tensor, kv_b as the two that the absorbed attention needs, the queries
// and keys of llama with rope's pairs together, llama3's rope factors as rope_freqs. The MTP layers of
// `config` follow the other layers, without their copies of embedding and head, which no reader needs.
// Sources have the registry's names. Tensors of another GGUF are taken as they are, except for the undivided
// kv_b of old files.
std::vector<PlannedTensor> PlanTensors(const model::ModelConfig& config, QuantType type);

}  // namespace deeprack::cli
