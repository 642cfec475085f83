#include "coordinator/api/stream_queue.h"

#include <algorithm>
#include <utility>

namespace deeprack::coordinator {
namespace {

// An empty queue keeps room for this many pieces.
constexpr size_t kKeptPieces = 16;

}  // namespace

bool StreamQueue::Push(std::string bytes, absl::Time now) {
  if (bytes.empty()) return true;
  if (now - over_hard_since_ >= limits_.hard_grace || now - over_since_ > limits_.grace) return false;
  bytes_ += bytes.size();
  pieces_.push_back(std::move(bytes));
  if (BehindFront() > limits_.soft_bytes) over_since_ = std::min(over_since_, now);
  if (BehindFront() > limits_.hard_bytes) over_hard_since_ = std::min(over_hard_since_, now);
  return true;
}

void StreamQueue::TakeInto(size_t most, std::string& out) {
  const size_t end = out.size() + most;
  while (!empty() && out.size() < end) {
    std::string& front = pieces_[front_];
    const size_t n = std::min(end - out.size(), front.size() - front_taken_);
    out.append(front, front_taken_, n);
    front_taken_ += n;
    if (front_taken_ < front.size()) break;
    bytes_ -= front.size();
    front_taken_ = 0;
    front = {};
    ++front_;
  }
  if (empty()) {
    if (pieces_.capacity() > kKeptPieces) std::vector<std::string>().swap(pieces_);
    pieces_.clear();
    front_ = 0;
  } else if (front_ >= kKeptPieces && front_ * 2 >= pieces_.size()) {
    pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<std::ptrdiff_t>(front_));
    front_ = 0;
  }
  if (empty() || BehindFront() <= limits_.soft_bytes) over_since_ = absl::InfiniteFuture();
  if (empty() || BehindFront() <= limits_.hard_bytes) over_hard_since_ = absl::InfiniteFuture();
}

}  // namespace deeprack::coordinator
