// model.safetensors.index.json: which file holds which tensor.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"

namespace deeprack::checkpoint {

// `weight_map` as tensor -> file name; what else the index holds is skipped. InvalidArgument: a file name
// that is not a plain name in the same folder. DataLoss: no index at all, a tensor twice. `path` is for
// messages.
absl::StatusOr<absl::flat_hash_map<std::string, std::string>> ParseSafetensorsIndex(
    std::span<const std::byte> json, const std::string& path);

}  // namespace deeprack::checkpoint
