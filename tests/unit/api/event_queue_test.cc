#include "coordinator/api/event_queue.h"

#include <thread>

#include "gtest/gtest.h"

namespace deeprack::coordinator {
namespace {

using Pushed = EventQueue::Pushed;

TokenEvent Token(TokenId token) { return {.sequence = 1, .has_token = true, .token = token}; }

TokenEvent PromptLogprobs(int positions) {
  TokenEvent event;
  event.prompt_logprobs.resize(positions);
  return event;
}

TEST(EventQueue, WakesItsReaderOnceUntilItIsEmpty) {
  EventQueue queue({});
  EXPECT_EQ(queue.Push(0, Token(1)), Pushed::kWakeReader);
  EXPECT_EQ(queue.Push(1, Token(2)), Pushed::kQueued);
  EventQueue::Taken taken = queue.Take();
  ASSERT_EQ(taken.entries.size(), 2u);
  EXPECT_EQ(taken.entries[0].event.token, 1);
  EXPECT_EQ(taken.entries[1].choice, 1);
  EXPECT_FALSE(taken.more);
  EXPECT_FALSE(taken.overflowed);
  EXPECT_EQ(queue.Push(0, Token(3)), Pushed::kWakeReader);
}

TEST(EventQueue, GivesALongQueueInBatches) {
  EventQueue queue({});
  for (size_t i = 0; i <= EventQueue::kBatch; ++i) queue.Push(0, Token(static_cast<TokenId>(i)));
  EXPECT_TRUE(queue.Take().more);
  EXPECT_EQ(queue.Push(0, Token(0)), Pushed::kQueued);  // the reader returns without being woken
  const EventQueue::Taken rest = queue.Take();
  EXPECT_EQ(rest.entries.size(), 2u);
  EXPECT_FALSE(rest.more);
}

TEST(EventQueue, TooManyEventsOverflow) {
  EventQueue queue({.events = 2});
  for (int i = 0; i < 3; ++i) EXPECT_NE(queue.Push(0, Token(i)), Pushed::kFull);
  EXPECT_EQ(queue.Push(0, Token(3)), Pushed::kFull);
  const EventQueue::Taken taken = queue.Take();
  EXPECT_TRUE(taken.overflowed);
  EXPECT_TRUE(taken.entries.empty());
  EXPECT_EQ(queue.Push(0, Token(4)), Pushed::kFull);  // the queue stays full, because events are missing
}

TEST(EventQueue, TooManyBytesOverflowButTheFrontDoesNotCount) {
  EventQueue queue({.bytes = 10000});
  EXPECT_EQ(queue.Push(0, PromptLogprobs(1000)), Pushed::kWakeReader);
  EXPECT_EQ(queue.Push(0, PromptLogprobs(100)), Pushed::kQueued);
  EXPECT_EQ(queue.Push(0, PromptLogprobs(1000)), Pushed::kFull);
}

TEST(EventQueue, BytesAreGivenBack) {
  EventQueue queue({.events = 4, .bytes = 10000});
  for (int i = 0; i < 100; ++i) {
    EXPECT_NE(queue.Push(0, PromptLogprobs(100)), Pushed::kFull);
    EXPECT_NE(queue.Push(0, PromptLogprobs(100)), Pushed::kFull);
    EXPECT_EQ(queue.Take().entries.size(), 2u);
  }
}

TEST(EventQueue, TwoThreads) {
  constexpr TokenId kEvents = 20000;
  EventQueue queue({});
  std::thread writer([&] {
    for (TokenId i = 0; i < kEvents; ++i) ASSERT_NE(queue.Push(0, Token(i)), Pushed::kFull);
  });
  for (TokenId next = 0; next < kEvents;) {
    for (const EventQueue::Entry& entry : queue.Take().entries) ASSERT_EQ(entry.event.token, next++);
  }
  writer.join();
}

}  // namespace
}  // namespace deeprack::coordinator
