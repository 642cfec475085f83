#include "coordinator/api/stream_queue.h"

#include <string>

#include "gtest/gtest.h"

namespace deeprack::coordinator {
namespace {

constexpr StreamQueueLimits kLimits = {
    .soft_bytes = 10, .hard_bytes = 30, .grace = absl::Seconds(5), .hard_grace = absl::ZeroDuration()};

std::string Take(StreamQueue& queue, size_t most) {
  std::string taken;
  const size_t next = queue.NextBytes(most);
  queue.TakeInto(most, taken);
  EXPECT_EQ(taken.size(), next);
  return taken;
}

absl::Time At(int seconds) { return absl::FromUnixSeconds(seconds); }

TEST(StreamQueue, ABurstBeforeAnyByteIsTakenIsNoSlowClient) {
  StreamQueueLimits limits = kLimits;
  limits.hard_grace = absl::Seconds(1);
  StreamQueue queue(limits);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(queue.Push(std::string(40, 'x'), At(0)));
  EXPECT_FALSE(queue.Push("x", At(1)));
  Take(queue, 400);
  EXPECT_TRUE(queue.Push("x", At(1)));
}

TEST(StreamQueue, GivesBytesInOrderAndInSlices) {
  StreamQueue queue(kLimits);
  EXPECT_TRUE(queue.empty());
  EXPECT_TRUE(queue.Push("abc", At(0)));
  EXPECT_TRUE(queue.Push("", At(0)));
  EXPECT_TRUE(queue.Push("defgh", At(0)));
  EXPECT_EQ(Take(queue, 2), "ab");
  EXPECT_EQ(Take(queue, 4), "cdef");
  EXPECT_FALSE(queue.empty());
  EXPECT_EQ(Take(queue, 100), "gh");
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(Take(queue, 100), "");
}

TEST(StreamQueue, MoreThanTheSoftLimitMayWaitForTheGrace) {
  StreamQueue queue(kLimits);
  for (const char* piece : {"front", "123456", "78901"}) EXPECT_TRUE(queue.Push(piece, At(0)));
  EXPECT_TRUE(queue.Push("x", At(5)));
  EXPECT_FALSE(queue.Push("x", At(6)));
}

TEST(StreamQueue, AClientThatCatchesUpGetsANewGrace) {
  StreamQueue queue(kLimits);
  for (const char* piece : {"front", "123456", "78901"}) EXPECT_TRUE(queue.Push(piece, At(0)));
  EXPECT_EQ(Take(queue, 5), "front");  // "123456" is now the front, which is not counted
  EXPECT_TRUE(queue.Push("abcdef", At(6)));
  EXPECT_TRUE(queue.Push("x", At(11)));
  EXPECT_FALSE(queue.Push("x", At(12)));
}

TEST(StreamQueue, ReadingALittleGivesNoNewGrace) {
  StreamQueue queue(kLimits);
  for (const char* piece : {"front", "123456", "78901"}) EXPECT_TRUE(queue.Push(piece, At(0)));
  EXPECT_EQ(Take(queue, 3), "fro");
  EXPECT_FALSE(queue.Push("x", At(6)));
}

TEST(StreamQueue, NothingMayWaitBeyondTheHardLimit) {
  StreamQueue queue(kLimits);
  EXPECT_TRUE(queue.Push("front", At(0)));
  EXPECT_TRUE(queue.Push(std::string(31, 'x'), At(0)));
  EXPECT_FALSE(queue.Push("x", At(0)));
}

TEST(StreamQueue, ThePieceAtTheFrontDoesNotCount) {
  StreamQueue queue(kLimits);
  EXPECT_TRUE(queue.Push(std::string(1000, 'x'), At(0)));
  EXPECT_TRUE(queue.Push("0123456789", At(0)));
  EXPECT_TRUE(queue.Push("x", At(100)));
}

}  // namespace
}  // namespace deeprack::coordinator
