// The bytes of one event stream that its client has not been sent yet, and the rule for clients that read too
// slowly. Belongs to the connection's executor.
#pragma once

#include <cstddef>
#include <deque>
#include <string>

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

  // Takes at most `most` bytes from the front.
  std::string Take(size_t most);

  bool empty() const { return pieces_.empty(); }

 private:
  size_t BehindFront() const { return bytes_ - pieces_.front().size(); }

  StreamQueueLimits limits_;
  std::deque<std::string> pieces_;                       // none is empty
  size_t bytes_ = 0;                                     // the sum of the pieces' sizes
  size_t front_taken_ = 0;                               // bytes of the first piece that Take has given out
  absl::Time over_since_ = absl::InfiniteFuture();       // since when more than soft_bytes wait
  absl::Time over_hard_since_ = absl::InfiniteFuture();  // since when more than hard_bytes wait
};

}  // namespace deeprack::coordinator
