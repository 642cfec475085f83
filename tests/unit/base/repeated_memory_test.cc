#include "base/repeated_memory.h"

#include <unistd.h>

#include <cstring>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace deeprack {
namespace {

TEST(RepeatedMemoryTest, EveryByteIsTheBlocks) {
  const int64_t size = 3 * sysconf(_SC_PAGESIZE);
  std::vector<std::byte> block(static_cast<size_t>(size));
  for (size_t i = 0; i < block.size(); ++i) block[i] = static_cast<std::byte>(i % 251);
  auto made = RepeatedMemory::Create(block, 4 * size + 1);
  ASSERT_TRUE(made.ok()) << made.status();
  const RepeatedMemory memory = *std::move(made);
  ASSERT_EQ(std::ssize(memory.bytes()), 5 * size) << "whole blocks";
  for (int64_t begin = 0; begin < 5 * size; begin += size) {
    EXPECT_EQ(std::memcmp(memory.bytes().data() + begin, block.data(), block.size()), 0) << begin;
  }
}

}  // namespace
}  // namespace deeprack
