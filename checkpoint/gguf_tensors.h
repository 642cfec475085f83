// The tensors of a GGUF under their names in the registry.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "checkpoint/tensor_view.h"
#include "model/config/model_config.h"
#include "model/gguf/gguf_model.h"
#include "model/tensors/tensor_registry.h"

namespace deeprack::checkpoint {

class GgufTensors {
 public:
  // Opens the file, or all of its split, and finds the model's tensors in it; tensor data is not touched. One
  // that the file lacks is left out. Errors: GgufModel::Open's, ConfigOf's, and InvalidArgument for a tensor
  // that stands for nothing of the model and may change what it computes (a bias that is not known).
  static absl::StatusOr<GgufTensors> Open(const std::string& path);

  const TensorView* Find(const std::string& name) const;  // nullptr: no such tensor
  std::string FileOf(const std::string& name) const;      // "" when there is none
  void Prefetch(const std::string& name) const;
  std::vector<std::string> names() const;  // tensors that were passed over under their names in the file
  int64_t tensor_count() const { return static_cast<int64_t>(stored_.size() + ignored_.size()); }
  int64_t total_bytes() const { return total_bytes_; }

 private:
  struct Stored {
    TensorView view;
    const model::GgufTensor* whole = nullptr;  // that holds it, in model_
  };

  explicit GgufTensors(model::GgufModel model) : model_(std::move(model)) {}
  absl::Status FindAll(const model::ModelConfig& config, const std::vector<model::TensorSpec>& specs);
  absl::Status PassOverOthers(const model::ModelConfig& config);

  model::GgufModel model_;
  absl::flat_hash_map<std::string, Stored> stored_;
  absl::flat_hash_set<const model::GgufTensor*> used_;
  std::vector<std::string> ignored_;
  int64_t total_bytes_ = 0;
};

}  // namespace deeprack::checkpoint
