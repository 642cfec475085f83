// `deeprack quantize IN OUT --type INT4|INT8`: writes a model folder whose linear weights are integers in
// groups, as compressed-tensors stores them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/dtype.h"
#include "cli/quantize/quantize.h"

namespace deeprack::cli {

// kInt4G128 for "INT4", kInt8G128 for "INT8", in upper or lower case.
std::optional<DType> FolderTypeFromName(std::string_view name);
inline constexpr char kFolderTypeNames[] = "INT4, INT8";

// Runs the command, as RunQuantize does. InFolderPolicy (weight_policy.h) says which weights are quantised.
// Tokenizer, generation_config.json and chat template are copied.
absl::StatusOr<std::string> QuantizeToFolder(const QuantizeOptions& options, DType type);

}  // namespace deeprack::cli
