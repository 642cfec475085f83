// The tensors of a checkpoint that is not there: names, shapes and types by the config, and made-up values,
// for trying a rack, its network and its memory before the weights are downloaded.
#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "base/repeated_memory.h"
#include "checkpoint/tensor_view.h"
#include "model/config/model_config.h"

namespace deeprack::checkpoint {

// Stored as the config's quantization_config says, else in bf16; MTP layers are left out. Weights are uniform
// around 0 with the deviation that models are initialised with, norms are 1. A value is a function of its
// tensor's name and its place in it, the same in every process and layout: tensors begin at different places
// of one block of some megabytes that repeats, which is all the memory that any number of them takes.
class DummyTensors {
 public:
  // Unavailable: the system has no memory for the block.
  static absl::StatusOr<DummyTensors> Create(const model::ModelConfig& config);

  const TensorView* Find(const std::string& name) const;  // nullptr: no such tensor
  std::vector<std::string> names() const;
  int64_t tensor_count() const { return static_cast<int64_t>(tensors_.size()); }
  int64_t total_bytes() const;

 private:
  DummyTensors() = default;

  std::vector<RepeatedMemory> values_;
  std::vector<std::vector<std::byte>>
      own_;  // of tensors whose values mean something: shapes, columns' groups
  absl::flat_hash_map<std::string, TensorView> tensors_;
};

}  // namespace deeprack::checkpoint
