// What a KV cache may be made of.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/dtype.h"
#include "model/config/model_config.h"

namespace deeprack::model {

// What --kv-cache-dtype may say: auto (the compute type), bf16, or fp8 (base/fp8_kv_page.h).
inline constexpr const char* kKvCacheTypeNames[] = {"auto", "bf16", "fp8"};
inline constexpr const char* kDefaultKvCacheType = "auto";

// InvalidArgument for another name.
absl::StatusOr<DType> KvCacheTypeOf(const std::string& name, DType compute);

// "bf16", "f32" or "fp8".
const char* KvCacheTypeName(DType type);

// InvalidArgument for a type that the model's attention does not read.
absl::Status CheckKvCacheType(const ModelConfig& config, DType type);

}  // namespace deeprack::model
