// The events of one API request, on their way from the step loop's thread to the executor of the request's
// connection. The queue is bounded: an executor that falls behind ends its request and costs no memory.
// Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "coordinator/request/request.h"

namespace deeprack::coordinator {

// At most this much waits for one request. A stream of 100 tokens a second fills 65,536 events in eleven
// minutes; 64 MiB are the log-probabilities of 16,384 prompt positions with 512 candidates each.
struct EventQueueLimits {
  size_t events = 1 << 16;
  size_t bytes = 64 << 20;
};

class EventQueue {
 public:
  struct Entry {
    int32_t choice = 0;
    TokenEvent event;
    size_t bytes = 0;  // what the event takes in memory
  };

  enum class Pushed : uint8_t {
    kWakeReader,  // the event waits, and the reader must be told
    kQueued,      // the event waits, and the reader knows of others
    kFull,        // the limit is exceeded: the event and all that waited are dropped, now and from now on
  };

  explicit EventQueue(const EventQueueLimits& limits) : limits_(limits) {}

  // Does not block. The event at the front is not counted: one event may be larger than the limit.
  Pushed Push(int32_t choice, TokenEvent event);

  // At most kBatch events, in order. `more`: call Take again; else wait for the next kWakeReader.
  struct Taken {
    std::vector<Entry> entries;
    bool more = false;
    bool overflowed = false;  // events were dropped: the request must end
  };
  Taken Take() { return Take(Taken()); }
  // `used`: an earlier Taken, whose memory is used again.
  Taken Take(Taken used);

  static constexpr size_t kBatch = 64;

 private:
  const EventQueueLimits limits_;
  std::mutex mutex_;
  std::vector<Entry> entries_;  // the first front_ are taken
  size_t front_ = 0;
  size_t bytes_ = 0;
  bool reader_knows_ = false;
  bool overflowed_ = false;
};

}  // namespace deeprack::coordinator
