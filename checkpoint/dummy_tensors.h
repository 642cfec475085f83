// Dummy tensors: names, shapes and types from the config, with made-up values. They serve to try out a rack,
// its network and its memory before the weights are downloaded.
#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "base/repeated_memory.h"
#include "checkpoint/tensor_view.h"
#include "model/config/model_config.h"

namespace deeprack::checkpoint {

// A tensor has the type in the config's quantization_config, or bf16. Weights are
// uniformly distributed around 0 with the standard deviation that models are initialised with; norms are 1. A
// value depends only on its tensor's name and its place in the tensor, so it is the same in every process and
// every layout. Each kind of values is one block of a few megabytes, mapped repeatedly; tensors begin at
// different places of it. So all tensors together take the memory of these blocks.
class DummyTensors {
 public:
  // Unavailable: the system has no memory for the blocks.
  static absl::StatusOr<DummyTensors> Create(const model::ModelConfig& config);

  const TensorView* Find(const std::string& name) const;  // nullptr: no such tensor
  std::vector<std::string> names() const;
  int64_t tensor_count() const { return static_cast<int64_t>(tensors_.size()); }
  int64_t total_bytes() const;

 private:
  DummyTensors() = default;

  std::vector<RepeatedMemory> values_;
  // Bytes of tensors whose values must be exact: weight_shape and columns' groups.
  std::vector<std::vector<std::byte>> own_;
  absl::flat_hash_map<std::string, TensorView> tensors_;
};

}  // namespace deeprack::checkpoint
