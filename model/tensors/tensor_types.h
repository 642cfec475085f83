// The types of a checkpoint's tensors that are stored in a block format (base/block_formats.h).
#pragma once

#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "base/block_formats.h"
#include "base/check.h"

namespace deeprack::model {

// Maps a tensor's name in the registry to its block format. Empty for a checkpoint without block formats.
class TensorTypes {
 public:
  void Set(const std::string& name, DType type) {
    DR_CHECK(IsBlockFormat(type));
    types_[name] = type;
  }

  // nullopt: the tensor is not stored in a block format.
  std::optional<DType> Of(const std::string& name) const {
    const auto found = types_.find(name);
    return found == types_.end() ? std::nullopt : std::optional<DType>(found->second);
  }

  bool empty() const { return types_.empty(); }

 private:
  absl::flat_hash_map<std::string, DType> types_;
};

}  // namespace deeprack::model
