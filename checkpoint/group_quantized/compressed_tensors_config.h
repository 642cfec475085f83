// Makes the config.json of a folder that CompressedTensorsWriter writes.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/dtype.h"

namespace deeprack::checkpoint {

// Returns `config_json`, a model's config.json, with a compressed-tensors quantization_config for linear
// weights of `type` (kInt4G128 or kInt8G128). `unquantised` lists the modules that are not quantised.
// InvalidArgument: `config_json` is not a JSON object.
absl::StatusOr<std::string> WithCompressedTensors(const std::string& config_json, DType type, bool symmetric,
                                                  const std::vector<std::string>& unquantised);

}  // namespace deeprack::checkpoint
