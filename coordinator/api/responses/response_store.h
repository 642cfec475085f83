// The responses of /v1/responses that clients may ask for again or continue. They are kept in memory alone:
// a restart loses them. The store is bounded in number, bytes and age; the oldest response goes first.
// Each response belongs to an owner, and no other owner finds it. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/time/time.h"
#include "base/clock.h"

namespace deeprack::coordinator {

// A message, a thought, a tool call or a tool's output. Conversations share their items.
struct ConversationItem {
  std::string id;
  std::string json;  // the item as clients see it
};

using Conversation = std::vector<std::shared_ptr<const ConversationItem>>;

struct StoredResponse {
  std::string json;     // the response object
  Conversation input;   // the items of the prompt, items of earlier responses first
  Conversation output;  // the items that the model made
};

struct ResponseStoreLimits {
  size_t responses = 1024;  // 0: nothing is stored
  size_t bytes = size_t{256} << 20;
  absl::Duration age = absl::Hours(720);
};

class ResponseStore {
 public:
  // `clock` outlives the store.
  ResponseStore(const ResponseStoreLimits& limits, Clock* clock) : limits_(limits), clock_(clock) {}

  bool enabled() const { return limits_.responses > 0; }

  // Stores a response under a new id. Drops the oldest responses until all limits are kept. A response that
  // alone exceeds the limit of bytes is not stored.
  void Add(std::string_view owner, std::string_view id, StoredResponse response);

  // nullptr: there is no such response, or it belongs to another owner.
  std::shared_ptr<const StoredResponse> Find(std::string_view owner, std::string_view id);
  std::shared_ptr<const ConversationItem> FindItem(std::string_view owner, std::string_view item_id);

  // False: as Find's nullptr. Later responses keep the items that they share with the erased one.
  bool Erase(std::string_view owner, std::string_view id);

  size_t size();
  // The bytes of the stored responses. An item that several responses share counts once.
  size_t bytes();

 private:
  struct Entry {
    std::string owner, key;
    std::shared_ptr<const StoredResponse> response;
    absl::Time added;
  };
  struct ItemUse {
    size_t responses = 0;  // that have the item
    std::string key;
  };
  // Dropped responses are freed after the lock is released: freeing takes long for many items.
  using Dropped = std::vector<std::shared_ptr<const StoredResponse>>;

  static std::string KeyOf(std::string_view owner, std::string_view id);
  static size_t BytesOf(const ConversationItem& item);
  static size_t OwnBytesOf(const Entry& entry);

  void Count(const Entry& entry);
  void CountItem(const std::string& owner, const std::shared_ptr<const ConversationItem>& item);
  void Uncount(const Entry& entry);
  void UncountItem(const std::shared_ptr<const ConversationItem>& item);
  void Drop(std::list<Entry>::iterator entry, Dropped& dropped);
  void DropExpired(Dropped& dropped);

  const ResponseStoreLimits limits_;
  Clock* const clock_;
  std::mutex mutex_;
  std::list<Entry> entries_;  // oldest first
  std::unordered_map<std::string, std::list<Entry>::iterator> by_key_;
  std::unordered_map<const ConversationItem*, ItemUse> uses_;
  std::unordered_map<std::string, std::shared_ptr<const ConversationItem>> items_;  // by owner and item id
  size_t bytes_ = 0;
};

}  // namespace deeprack::coordinator
