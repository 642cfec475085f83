// What a GGUF file is to hold, tensor by tensor, and from which rows of which source tensors each is made.
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
  // Rows r and r + n/2 of n become neighbours: rope's pairs, which Hugging Face's llama has half a head
  // apart.
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
  model::TensorKind kind;  // of the tensor or of what it was split from; routed experts are one tensor
  std::vector<TensorPiece> pieces;  // one after the other they are the tensor's rows
  std::vector<float> values;        // instead of pieces: what no source holds
  int64_t parameters() const;
};

// The tensors that llama.cpp's converter makes of a Hugging Face checkpoint, typed by WeightType and
// FitToRow: a layer's experts as one tensor, kv_b as the two that the absorbed attention needs, the queries
// and keys of llama with rope's pairs together, llama3's rope factors as rope_freqs. MTP layers are left out,
// as there. Sources have the registry's names; those of another GGUF are already as they have to be, but for
// old ones' undivided kv_b.
std::vector<PlannedTensor> PlanTensors(const model::ModelConfig& config, QuantType type);

}  // namespace deeprack::cli
