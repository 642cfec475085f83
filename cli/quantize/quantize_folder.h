// `deeprack quantize IN OUT --type INT4|INT8`: a model folder as a model folder whose linear weights are
// integers in groups, as compressed-tensors stores them.
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

// The whole command but its exit code, as RunQuantize. What is quantised: InFolderPolicy (weight_policy.h).
// What else the folder holds of text (tokenizer, generation_config.json, chat template) is copied.
absl::StatusOr<std::string> QuantizeToFolder(const QuantizeOptions& options, DType type);

}  // namespace deeprack::cli
