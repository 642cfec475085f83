// The tensors of a GGUF, under their names in the registry.
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
  // Opens the file, or all files of its split, and finds the model's tensors. Reads no tensor data. A tensor
  // of the model that the file lacks is left out. Errors: those of GgufModel::Open and ConfigOf;
  // InvalidArgument for a tensor of the file that is no tensor of the model and may change what the model
  // computes (for example an unknown bias).
  static absl::StatusOr<GgufTensors> Open(const std::string& path);

  const TensorView* Find(const std::string& name) const;  // nullptr: no such tensor
  // CheckpointReader::UnreadType. Only tensors of MTP layers have such types.
  std::string UnreadType(const std::string& name) const;
  std::string FileOf(const std::string& name) const;  // "": no such tensor
  void Prefetch(const std::string& name) const;
  // Names of all tensors in the file. Ignored tensors, which the model does not use, have their names in the
  // file.
  std::vector<std::string> names() const;
  int64_t tensor_count() const {
    return static_cast<int64_t>(stored_.size() + unread_.size() + ignored_.size());
  }
  int64_t total_bytes() const { return total_bytes_; }

 private:
  struct Stored {
    TensorView view;
    const model::GgufTensor* whole = nullptr;  // the tensor of model_ that holds this tensor
  };

  explicit GgufTensors(model::GgufModel model) : model_(std::move(model)) {}
  absl::Status FindAll(const model::ModelConfig& config, const std::vector<model::TensorSpec>& specs);
  absl::Status PassOverOthers(const model::ModelConfig& config);

  model::GgufModel model_;
  absl::flat_hash_map<std::string, Stored> stored_;
  absl::flat_hash_map<std::string, const model::GgufTensor*> unread_;  // with types that are no DTypes
  absl::flat_hash_set<const model::GgufTensor*> used_;
  std::vector<std::string> ignored_;
  int64_t total_bytes_ = 0;
};

}  // namespace deeprack::checkpoint
