#include "coordinator/api/responses/response_store.h"

#include <thread>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace deeprack::coordinator {
namespace {

std::shared_ptr<const ConversationItem> Item(const std::string& id, size_t bytes = 10) {
  return std::make_shared<const ConversationItem>(
      ConversationItem{.id = id, .json = std::string(bytes, 'x')});
}

StoredResponse Response(const std::string& json, Conversation input = {}, Conversation output = {}) {
  return {.json = json, .input = std::move(input), .output = std::move(output)};
}

TEST(ResponseStore, FindsWhatItsOwnerStored) {
  ManualClock clock;
  ResponseStore store({}, &clock);
  store.Add("ann", "resp_1", Response("{1}", {Item("msg_1")}, {Item("msg_2")}));
  ASSERT_NE(store.Find("ann", "resp_1"), nullptr);
  EXPECT_EQ(store.Find("ann", "resp_1")->json, "{1}");
  EXPECT_EQ(store.FindItem("ann", "msg_2")->id, "msg_2");
  EXPECT_EQ(store.Find("bob", "resp_1"), nullptr);
  EXPECT_EQ(store.FindItem("bob", "msg_2"), nullptr);
  EXPECT_EQ(store.Find("", "resp_1"), nullptr);
  EXPECT_FALSE(store.Erase("bob", "resp_1"));
  EXPECT_TRUE(store.Erase("ann", "resp_1"));
  EXPECT_FALSE(store.Erase("ann", "resp_1"));
  EXPECT_EQ(store.Find("ann", "resp_1"), nullptr);
  EXPECT_EQ(store.FindItem("ann", "msg_2"), nullptr);
  EXPECT_EQ(store.bytes(), 0u);
}

TEST(ResponseStore, KeepsTheNewestUpToItsNumber) {
  ManualClock clock;
  ResponseStore store({.responses = 2}, &clock);
  for (const char* id : {"a", "b", "c"})
    store.Add("", id, Response(id, {}, {Item(absl::StrCat("item_", id))}));
  EXPECT_EQ(store.size(), 2u);
  EXPECT_EQ(store.Find("", "a"), nullptr);
  EXPECT_EQ(store.FindItem("", "item_a"), nullptr);
  EXPECT_NE(store.Find("", "b"), nullptr);
  EXPECT_NE(store.Find("", "c"), nullptr);
}

TEST(ResponseStore, StoresNothingWithANumberOfZero) {
  ManualClock clock;
  ResponseStore store({.responses = 0}, &clock);
  EXPECT_FALSE(store.enabled());
  store.Add("", "a", Response("a"));
  EXPECT_EQ(store.Find("", "a"), nullptr);
  EXPECT_EQ(store.size(), 0u);
}

TEST(ResponseStore, DropsTheOldestBeyondItsBytes) {
  ManualClock clock;
  ResponseStore store({.bytes = 10000}, &clock);
  for (int i = 0; i < 20; ++i) {
    store.Add("", absl::StrCat("r", i), Response(std::string(2000, 'x')));
    EXPECT_LE(store.bytes(), 10000u);
    EXPECT_NE(store.Find("", absl::StrCat("r", i)), nullptr);
  }
  EXPECT_EQ(store.size(), 3u);
  store.Add("", "large", Response(std::string(10001, 'x')));
  EXPECT_EQ(store.Find("", "large"), nullptr);
  EXPECT_EQ(store.size(), 0u);
  EXPECT_EQ(store.bytes(), 0u);
}

TEST(ResponseStore, CountsSharedItemsOnce) {
  ManualClock clock;
  ResponseStore store({.bytes = 100000}, &clock);
  Conversation conversation;
  for (int i = 0; i < 40; ++i) {
    conversation.push_back(Item(absl::StrCat("item_", i), 1000));
    store.Add("", absl::StrCat("r", i), Response("{}", conversation));
  }
  // Counted for each response, the items would take 820,000 bytes.
  EXPECT_EQ(store.size(), 40u);
  EXPECT_TRUE(store.Erase("", "r39"));
  EXPECT_NE(store.FindItem("", "item_0"), nullptr);
  EXPECT_EQ(store.FindItem("", "item_39"), nullptr);
  for (int i = 0; i < 38; ++i) EXPECT_TRUE(store.Erase("", absl::StrCat("r", i)));
  EXPECT_NE(store.FindItem("", "item_0"), nullptr);  // r38 has the item
  EXPECT_TRUE(store.Erase("", "r38"));
  EXPECT_EQ(store.FindItem("", "item_0"), nullptr);
  EXPECT_EQ(store.bytes(), 0u);
}

TEST(ResponseStore, DropsWhatIsTooOld) {
  ManualClock clock;
  ResponseStore store({.age = absl::Hours(2)}, &clock);
  store.Add("", "a", Response("a"));
  clock.Advance(absl::Hours(1));
  store.Add("", "b", Response("b"));
  clock.Advance(absl::Hours(1) + absl::Seconds(1));
  EXPECT_EQ(store.Find("", "a"), nullptr);
  EXPECT_NE(store.Find("", "b"), nullptr);
  EXPECT_EQ(store.size(), 1u);
}

TEST(ResponseStore, AnIdNamesTheItemThatCameLast) {
  ManualClock clock;
  ResponseStore store({}, &clock);
  const auto first = Item("same"), second = Item("same");
  store.Add("", "a", Response("a", {first}));
  store.Add("", "b", Response("b", {second}));
  EXPECT_EQ(store.FindItem("", "same"), second);
  store.Erase("", "a");
  EXPECT_EQ(store.FindItem("", "same"), second);
  store.Erase("", "b");
  EXPECT_EQ(store.FindItem("", "same"), nullptr);
}

TEST(ResponseStore, TakesThreads) {
  SystemClock clock;
  ResponseStore store({.responses = 8}, &clock);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&store, t] {
      for (int i = 0; i < 200; ++i) {
        const std::string id = absl::StrCat("r", i % 10);
        store.Add("", id, Response(id, {Item(absl::StrCat("i", t))}));
        const auto found = store.Find("", id);
        EXPECT_TRUE(found == nullptr || found->json == id);
        store.FindItem("", "i0");
        if (i % 3 == 0) store.Erase("", id);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(store.size(), 8u);
}

}  // namespace
}  // namespace deeprack::coordinator
