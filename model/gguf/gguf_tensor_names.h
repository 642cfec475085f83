// Finds the tensor of a GGUF that holds a tensor of the registry. Source of the names: llama.cpp's gguf-py
// (constants.py, tensor_mapping.py).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/config/model_config.h"
#include "model/gguf/gguf_model.h"
#include "model/tensors/tensor_registry.h"

namespace deeprack::model {

// The name in a GGUF; for a tensor of a layer, without the prefix "blk.N.". All experts of a layer share one
// name. nullptr: GGUF has no such tensor.
const char* GgufTensorName(TensorKind kind);

// Where a tensor of the registry is in a GGUF. A GGUF stores the experts of a layer in one tensor, one after
// the other, and may store gate and up, or queries, keys and values, in one tensor.
struct GgufPlace {
  const GgufTensor* tensor = nullptr;  // nullptr: not in the file
  bool is_part = false;                // true: `tensor` holds several tensors of the registry
  int64_t first_element = 0;           // of this tensor, within `tensor`
};

// Finds the place of `spec`. InvalidArgument: a GGUF tensor that holds several tensors does not have the
// shape of all of them together. The caller checks the shape of a GGUF tensor that holds one tensor.
absl::StatusOr<GgufPlace> PlaceInGguf(const GgufModel& model, const ModelConfig& config,
                                      const TensorSpec& spec);

bool IsOfMtpLayer(const GgufTensor& tensor, const ModelConfig& config);

// True when a GGUF tensor without a tensor of the registry may be ignored: it belongs to an MTP layer, it was
// read with the config, or it repeats values of other tensors.
bool MayBeIgnored(const GgufTensor& tensor, const ModelConfig& config);

}  // namespace deeprack::model
