// The bytes of one event stream that its client has not been sent yet, and the rule for clients that read too
// slowly. Belongs to the connection's executor.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace deeprack::coordinator {

struct StreamQueueLimits {
  size_t soft_bytes = 256 << 10;            // may wait for any time
  size_t hard_bytes = 512 << 10;            // may wait for `grace`
  absl::Duration grace = absl::Seconds(5);  // how long more than soft_bytes may wait
  // How long more than hard_bytes may wait: large events of one step come in one burst, before any is sent.
  absl::Duration hard_grace = absl::Milliseconds(250);
};

class StreamQueue {
 public:
  explicit StreamQueue(const StreamQueueLimits& limits) : limits_(limits) {}

  // Queues `bytes`. False: the client reads too slowly, and the stream must end; `bytes` are dropped. That is
  // so when more than hard_bytes have waited for `hard_grace`, or more than soft_bytes for longer than
  // `grace`. The piece at the front is never counted: one event may be larger than the limits.
  bool Push(std::string bytes, absl::Time now);

  // The bytes that wait, or `most` if more wait.
  size_t NextBytes(size_t most) const { return std::min(most, bytes_ - front_taken_); }

  // Takes at most `most` bytes from the front and appends them to `out`.
  void TakeInto(size_t most, std::string& out);

  bool empty() const { return front_ == pieces_.size(); }

 private:
  size_t BehindFront() const { return bytes_ - pieces_[front_].size(); }

  StreamQueueLimits limits_;
  std::vector<std::string> pieces_;  // none is empty; the first front_ are gone
  size_t front_ = 0;
  size_t bytes_ = 0;                                     // the sum of the pieces' sizes
  size_t front_taken_ = 0;                               // bytes of the first piece that Take has given out
  absl::Time over_since_ = absl::InfiniteFuture();       // since when more than soft_bytes wait
  absl::Time over_hard_since_ = absl::InfiniteFuture();  // since when more than hard_bytes wait
};

}  // namespace deeprack::coordinator
