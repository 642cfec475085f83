// The quantization_config of a folder that CompressedTensorsWriter writes.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/dtype.h"

namespace deeprack::checkpoint {

// `config_json`, a model's config.json, with a compressed-tensors quantization_config for linear weights of
// `type` (kInt4G128, kInt8G128) and the names of modules that stay as they are. InvalidArgument: no JSON
// object.
absl::StatusOr<std::string> WithCompressedTensors(const std::string& config_json, DType type, bool symmetric,
                                                  const std::vector<std::string>& unquantised);

}  // namespace deeprack::checkpoint
