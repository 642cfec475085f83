#include "coordinator/api/responses/response_store.h"

#include <iterator>
#include <utility>

namespace deeprack::coordinator {

// An owner has no zero byte, so different pairs have different keys.
std::string ResponseStore::KeyOf(std::string_view owner, std::string_view id) {
  std::string key(owner);
  key += '\0';
  key += id;
  return key;
}

size_t ResponseStore::BytesOf(const ConversationItem& item) {
  // The item, its two entries in hash maps, and their keys.
  constexpr size_t kOverhead = 256;
  return kOverhead + 2 * item.id.size() + item.json.size();
}

size_t ResponseStore::OwnBytesOf(const Entry& entry) {
  const StoredResponse& response = *entry.response;
  constexpr size_t kOverhead = 512;
  return kOverhead + 2 * entry.key.size() + entry.owner.size() + response.json.size() +
         (response.input.size() + response.output.size()) * sizeof(Conversation::value_type);
}

void ResponseStore::CountItem(const std::string& owner, const std::shared_ptr<const ConversationItem>& item) {
  ItemUse& use = uses_[item.get()];
  if (use.responses++ > 0) return;
  bytes_ += BytesOf(*item);
  use.key = KeyOf(owner, item->id);
  items_[use.key] = item;
}

void ResponseStore::UncountItem(const std::shared_ptr<const ConversationItem>& item) {
  const auto use = uses_.find(item.get());
  if (--use->second.responses > 0) return;
  bytes_ -= BytesOf(*item);
  // A later item may have come under the same id.
  const auto named = items_.find(use->second.key);
  if (named != items_.end() && named->second == item) items_.erase(named);
  uses_.erase(use);
}

void ResponseStore::Count(const Entry& entry) {
  bytes_ += OwnBytesOf(entry);
  for (const auto& item : entry.response->input) CountItem(entry.owner, item);
  for (const auto& item : entry.response->output) CountItem(entry.owner, item);
}

void ResponseStore::Uncount(const Entry& entry) {
  bytes_ -= OwnBytesOf(entry);
  for (const auto& item : entry.response->input) UncountItem(item);
  for (const auto& item : entry.response->output) UncountItem(item);
}

void ResponseStore::Drop(std::list<Entry>::iterator entry, Dropped& dropped) {
  Uncount(*entry);
  by_key_.erase(entry->key);
  dropped.push_back(std::move(entry->response));
  entries_.erase(entry);
}

void ResponseStore::DropExpired(Dropped& dropped) {
  const absl::Time oldest = clock_->Now() - limits_.age;
  while (!entries_.empty() && entries_.front().added < oldest) Drop(entries_.begin(), dropped);
}

void ResponseStore::Add(std::string_view owner, std::string_view id, StoredResponse response) {
  if (!enabled()) return;
  Dropped dropped;
  const std::lock_guard lock(mutex_);
  std::string key = KeyOf(owner, id);
  if (const auto old = by_key_.find(key); old != by_key_.end()) Drop(old->second, dropped);
  entries_.push_back({.owner = std::string(owner),
                      .key = std::move(key),
                      .response = std::make_shared<const StoredResponse>(std::move(response)),
                      .added = clock_->Now()});
  by_key_[entries_.back().key] = std::prev(entries_.end());
  Count(entries_.back());
  DropExpired(dropped);
  while (entries_.size() > limits_.responses || bytes_ > limits_.bytes) Drop(entries_.begin(), dropped);
}

std::shared_ptr<const StoredResponse> ResponseStore::Find(std::string_view owner, std::string_view id) {
  Dropped dropped;
  const std::lock_guard lock(mutex_);
  DropExpired(dropped);
  const auto found = by_key_.find(KeyOf(owner, id));
  return found == by_key_.end() ? nullptr : found->second->response;
}

std::shared_ptr<const ConversationItem> ResponseStore::FindItem(std::string_view owner,
                                                                std::string_view item_id) {
  Dropped dropped;
  const std::lock_guard lock(mutex_);
  DropExpired(dropped);
  const auto found = items_.find(KeyOf(owner, item_id));
  return found == items_.end() ? nullptr : found->second;
}

bool ResponseStore::Erase(std::string_view owner, std::string_view id) {
  Dropped dropped;
  const std::lock_guard lock(mutex_);
  DropExpired(dropped);
  const auto found = by_key_.find(KeyOf(owner, id));
  if (found == by_key_.end()) return false;
  Drop(found->second, dropped);
  return true;
}

size_t ResponseStore::size() {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

size_t ResponseStore::bytes() {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace deeprack::coordinator
