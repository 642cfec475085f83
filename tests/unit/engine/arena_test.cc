#include "worker/device/arena.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <utility>

#include "worker/device/cpu_device.h"

namespace deeprack::worker {
namespace {

TEST(ArenaTest, PiecesAreAlignedApartAndZero) {
  const auto cpu = MakeCpuDevice(1);
  auto arena = Arena::Create(*cpu, "weights", 64 + 128 + 64);
  ASSERT_TRUE(arena.ok());
  std::byte* pieces[] = {*arena->Allocate(1), *arena->Allocate(65), *arena->Allocate(64)};
  for (const std::byte* piece : pieces) EXPECT_EQ(reinterpret_cast<uintptr_t>(piece) % kArenaAlignment, 0u);
  EXPECT_EQ(pieces[1] - pieces[0], 64);
  EXPECT_EQ(pieces[2] - pieces[1], 128);
  for (int64_t i = 0; i < arena->capacity(); ++i) ASSERT_EQ(pieces[0][i], std::byte{0});
  EXPECT_EQ(arena->used(), arena->capacity());
}

TEST(ArenaTest, BeyondTheBudgetIsAnErrorWithNumbers) {
  const auto cpu = MakeCpuDevice(1);
  auto arena = Arena::Create(*cpu, "KV cache", 128);
  ASSERT_TRUE(arena.ok());
  ASSERT_TRUE(arena->Allocate(64).ok());
  for (const int64_t bytes : {int64_t{65}, INT64_MAX, int64_t{-1}}) {
    const absl::Status refused = arena->Allocate(bytes).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_NE(refused.message().find("KV cache: " + std::to_string(bytes)), std::string::npos) << refused;
    EXPECT_NE(refused.message().find("64 of the 128"), std::string::npos) << refused;
  }
  EXPECT_TRUE(arena->Allocate(64).ok());  // a refused request takes no memory
}

TEST(ArenaTest, WhatTheSystemRefusesIsAnError) {
  const auto cpu = MakeCpuDevice(1);
  EXPECT_EQ(Arena::Create(*cpu, "weights", INT64_MAX / 2).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(ArenaTest, MovesWithItsMemory) {
  const auto cpu = MakeCpuDevice(1);
  auto arena = Arena::Create(*cpu, "workspace", 64);
  ASSERT_TRUE(arena.ok());
  std::byte* piece = *arena->Allocate(64);
  Arena other = *std::move(arena);
  std::memset(piece, 1, 64);
  EXPECT_EQ(other.used(), 64);
}

}  // namespace
}  // namespace deeprack::worker
