// What a checkpoint's tensors are stored in, where that is a block format (base/block_formats.h): budget and
// loader keep such weights as they are where they can.
#pragma once

#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "base/block_formats.h"
#include "base/check.h"

namespace deeprack::model {

// By the tensor's name in the registry. Empty for checkpoints without block formats.
class TensorTypes {
 public:
  void Set(const std::string& name, DType type) {
    DR_CHECK(IsBlockFormat(type));
    types_[name] = type;
  }

  // nullopt: no block format.
  std::optional<DType> Of(const std::string& name) const {
    const auto found = types_.find(name);
    return found == types_.end() ? std::nullopt : std::optional<DType>(found->second);
  }

  bool empty() const { return types_.empty(); }

 private:
  absl::flat_hash_map<std::string, DType> types_;
};

}  // namespace deeprack::model
