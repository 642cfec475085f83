#include "worker/engine/kernel_check.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/api/cpu_kernels.h"
#include "tests/unit/engine/tiny_checkpoint.h"

namespace deeprack::worker {
namespace {

TEST(KernelCheckTest, GroupedQueryModelsNeedTheirAttention) {
  const kernels::KernelSet without = {.name = "small"};
  const model::ModelConfig grouped_query = testing::TinyModel{.grouped_query = true}.Config();
  EXPECT_TRUE(CheckKernels(testing::TinyModel{}.Config(), without).ok());
  EXPECT_TRUE(CheckKernels(grouped_query, kernels::CpuKernels()).ok());
  const absl::Status status = CheckKernels(grouped_query, without);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              ::testing::HasSubstr("small kernels have no grouped-query attention"));
}

}  // namespace
}  // namespace deeprack::worker
