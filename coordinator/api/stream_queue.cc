#include "coordinator/api/stream_queue.h"

#include <algorithm>
#include <utility>

namespace deeprack::coordinator {

bool StreamQueue::Push(std::string bytes, absl::Time now) {
  if (bytes.empty()) return true;
  if (now - over_hard_since_ >= limits_.hard_grace || now - over_since_ > limits_.grace) return false;
  bytes_ += bytes.size();
  pieces_.push_back(std::move(bytes));
  if (BehindFront() > limits_.soft_bytes) over_since_ = std::min(over_since_, now);
  if (BehindFront() > limits_.hard_bytes) over_hard_since_ = std::min(over_hard_since_, now);
  return true;
}

std::string StreamQueue::Take(size_t most) {
  std::string taken;
  while (!pieces_.empty() && taken.size() < most) {
    std::string& front = pieces_.front();
    const size_t n = std::min(most - taken.size(), front.size() - front_taken_);
    taken.append(front, front_taken_, n);
    front_taken_ += n;
    if (front_taken_ < front.size()) break;
    bytes_ -= front.size();
    front_taken_ = 0;
    pieces_.pop_front();
  }
  if (pieces_.empty() || BehindFront() <= limits_.soft_bytes) over_since_ = absl::InfiniteFuture();
  if (pieces_.empty() || BehindFront() <= limits_.hard_bytes) over_hard_since_ = absl::InfiniteFuture();
  return taken;
}

}  // namespace deeprack::coordinator
