#include "coordinator/api/event_queue.h"

#include <utility>

namespace deeprack::coordinator {
namespace {

size_t BytesOf(const model::PositionLogprobs& logprobs) {
  return sizeof(logprobs) + logprobs.top.capacity() * sizeof(model::TokenLogprob);
}

size_t BytesOf(const TokenEvent& event) {
  size_t bytes = sizeof(event) + BytesOf(event.logprobs);
  for (const model::PositionLogprobs& position : event.prompt_logprobs) bytes += BytesOf(position);
  return bytes;
}

}  // namespace

EventQueue::Pushed EventQueue::Push(int32_t choice, TokenEvent event) {
  const size_t bytes = BytesOf(event);
  const std::lock_guard lock(mutex_);
  if (overflowed_) return Pushed::kFull;
  if (front_ < entries_.size()) {
    const size_t behind_front = bytes_ - entries_[front_].bytes + bytes;
    if (entries_.size() - front_ > limits_.events || behind_front > limits_.bytes) {
      overflowed_ = true;
      std::vector<Entry>().swap(entries_);
      front_ = bytes_ = 0;
      return Pushed::kFull;
    }
  }
  entries_.push_back({choice, std::move(event), bytes});
  bytes_ += bytes;
  return std::exchange(reader_knows_, true) ? Pushed::kQueued : Pushed::kWakeReader;
}

EventQueue::Taken EventQueue::Take(Taken used) {
  Taken taken = std::move(used);
  taken.entries.clear();
  const std::lock_guard lock(mutex_);
  if (front_ == 0 && entries_.size() <= kBatch) {
    entries_.swap(taken.entries);
    bytes_ = 0;
  } else {
    for (; front_ < entries_.size() && taken.entries.size() < kBatch; ++front_) {
      bytes_ -= entries_[front_].bytes;
      taken.entries.push_back(std::move(entries_[front_]));
    }
    if (front_ == entries_.size()) {
      std::vector<Entry>().swap(entries_);
      front_ = 0;
    }
  }
  taken.more = !entries_.empty();
  taken.overflowed = overflowed_;
  reader_knows_ = taken.more;
  return taken;
}

}  // namespace deeprack::coordinator
