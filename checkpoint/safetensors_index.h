// model.safetensors.index.json: which file holds which tensor.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"

namespace deeprack::checkpoint {

// Reads `weight_map` as a map from tensor to file name and ignores the index's other keys. InvalidArgument: a
// file name that is not a plain name in the same folder. DataLoss: the text is not an index, or a tensor
// occurs twice. `path` is used in messages.
absl::StatusOr<absl::flat_hash_map<std::string, std::string>> ParseSafetensorsIndex(
    std::span<const std::byte> json, const std::string& path);

}  // namespace deeprack::checkpoint
