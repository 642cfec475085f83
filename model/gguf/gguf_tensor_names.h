// Which tensor of a GGUF holds a tensor of the registry. The names are those of llama.cpp's gguf-py
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

// Without "blk.N." before it, of tensors in a layer; experts have one for all of theirs. nullptr: GGUF has no
// such tensor.
const char* GgufTensorName(TensorKind kind);

// A GGUF keeps the experts of a layer in one tensor, one after the other, and may keep gate and up, or
// queries, keys and values, in one.
struct GgufPlace {
  const GgufTensor* tensor = nullptr;  // nullptr: the file has none
  bool is_part = false;                // the tensor holds others too; this one begins at `first_element`
  int64_t first_element = 0;
};

// A tensor that holds several is checked to be as large as they are together (InvalidArgument otherwise); the
// shape of one that stands alone is left to the caller.
absl::StatusOr<GgufPlace> PlaceInGguf(const GgufModel& model, const ModelConfig& config,
                                      const TensorSpec& spec);

// Whether a tensor that holds none of the registry may be passed over: it belongs to an MTP layer, was read
// with the config, or says again what others do.
bool MayBeIgnored(const GgufTensor& tensor, const ModelConfig& config);

}  // namespace deeprack::model
