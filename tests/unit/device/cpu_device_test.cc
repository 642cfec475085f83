#include "worker/device/cpu_device.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace deeprack::worker {
namespace {

TEST(CpuDevice, SaysWhereMemoryIsBeforeItIsTouched) {
  std::vector<std::pair<std::byte*, int64_t>> placed;
  const auto device =
      MakeCpuDevice({.threads = 1}, kernels::CpuKernels(),
                    [&](std::byte* data, int64_t bytes) { placed.emplace_back(data, bytes); });
  const auto weights = device->Allocate("weights", 10000);
  const auto staging = device->AllocateStaging("a step's inputs", 64);
  const auto nothing = device->Allocate("nothing", 0);
  ASSERT_TRUE(weights.ok() && staging.ok() && nothing.ok());
  ASSERT_EQ(placed.size(), 2u);
  EXPECT_EQ(placed[0], std::pair(weights->data(), int64_t{10000}));
  EXPECT_EQ(placed[1], std::pair(staging->data(), int64_t{64}));
  EXPECT_TRUE(
      std::all_of(weights->data(), weights->data() + 10000, [](std::byte b) { return b == std::byte{0}; }));
}

TEST(CpuDevice, NamesWhatTheMemoryWasFor) {
  const auto device = MakeCpuDevice(1);
  const auto refused = device->Allocate("weights", INT64_MAX / 2);
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status()));
  EXPECT_NE(refused.status().message().find("weights"), absl::string_view::npos);
  EXPECT_NE(refused.status().message().find("(Cannot allocate memory)"), absl::string_view::npos)
      << refused.status();
}

}  // namespace
}  // namespace deeprack::worker
