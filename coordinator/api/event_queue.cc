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
  if (!entries_.empty()) {
    const size_t behind_front = bytes_ - entries_.front().bytes + bytes;
    if (entries_.size() > limits_.events || behind_front > limits_.bytes) {
      overflowed_ = true;
      entries_.clear();
      bytes_ = 0;
      return Pushed::kFull;
    }
  }
  entries_.push_back({choice, std::move(event), bytes});
  bytes_ += bytes;
  return std::exchange(reader_knows_, true) ? Pushed::kQueued : Pushed::kWakeReader;
}

EventQueue::Taken EventQueue::Take() {
  Taken taken;
  const std::lock_guard lock(mutex_);
  while (!entries_.empty() && taken.entries.size() < kBatch) {
    bytes_ -= entries_.front().bytes;
    taken.entries.push_back(std::move(entries_.front()));
    entries_.pop_front();
  }
  taken.more = !entries_.empty();
  taken.overflowed = overflowed_;
  reader_knows_ = taken.more;
  return taken;
}

}  // namespace deeprack::coordinator
