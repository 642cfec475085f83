#include "model/config/kv_cache_type.h"

#include "gtest/gtest.h"
#include "tests/unit/model/r1_config.h"

namespace deeprack::model {
namespace {

TEST(KvCacheTypeTest, KvCacheTypesByName) {
  EXPECT_EQ(KvCacheTypeOf("auto", DType::kF32).value(), DType::kF32);
  EXPECT_EQ(KvCacheTypeOf("bf16", DType::kF32).value(), DType::kBF16);
  EXPECT_EQ(KvCacheTypeOf("fp8", DType::kBF16).value(), DType::kF8E4M3);
  EXPECT_EQ(KvCacheTypeOf("fp4", DType::kBF16).status().message(),
            "KV cache type 'fp4': use one of auto, bf16, fp8");
  EXPECT_TRUE(CheckKvCacheType(R1(), DType::kF8E4M3).ok());
  EXPECT_FALSE(CheckKvCacheType(R1(), DType::kF16).ok());
}

}  // namespace
}  // namespace deeprack::model
