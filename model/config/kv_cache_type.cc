#include "model/config/kv_cache_type.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace deeprack::model {

absl::StatusOr<DType> KvCacheTypeOf(const std::string& name, DType compute) {
  if (name == "auto") return compute;
  if (name == "bf16") return DType::kBF16;
  if (name == "fp8") return DType::kF8E4M3;
  return absl::InvalidArgumentError(
      absl::StrCat("KV cache type '", name, "': use one of ", absl::StrJoin(kKvCacheTypeNames, ", ")));
}

const char* KvCacheTypeName(DType type) {
  return type == DType::kF8E4M3 ? "fp8" : type == DType::kF32 ? "f32" : "bf16";
}

absl::Status CheckKvCacheType(const ModelConfig& config, DType type) {
  if (type == DType::kBF16 || type == DType::kF32) return absl::OkStatus();
  if (type != DType::kF8E4M3) {
    return absl::InvalidArgumentError(
        absl::StrCat("a KV cache of ", std::string(Name(type)), ": BF16, F32 and F8_E4M3 are possible"));
  }
  if (config.has_latent_attention()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("a KV cache in fp8 needs latent attention, and a ", config.model_type,
                   " model has grouped-query attention: use a KV cache of type auto or bf16"));
}

}  // namespace deeprack::model
