// Messages over gloo's TCP transport. Internal to gloo/.
//
// What gloo 0.5 does, and what this class does about it:
//  - A message that is longer than its receive ends the process, in gloo's own thread. Here the size of a
//    message is a part of its tag. Messages of two sizes never meet, and the call ends at its deadline.
//  - A wait for a message whose bytes were on their way when the connection broke does not end. Break ends
//    the wait, from the thread that cancels the call. Otherwise the deadline does.
//  - A connection that breaks while it is written to waits for gloo's thread, with the lock of its context
//    held. gloo's thread may wait for this lock. Here each connection has a context of its own.
//  - A write to a closed connection raises SIGPIPE, which ends the process. Open has the process ignore it.
//  - gloo's thread spins when bytes arrive for a buffer that is gone. Break closes every connection.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "gloo/transport/context.h"
#include "gloo/transport/device.h"
#include "gloo/transport/unbound_buffer.h"
#include "worker/collectives/gloo/gloo_world.h"
#include "worker/collectives/message_transport.h"

namespace deeprack::worker {

class GlooTransport final : public MessageTransport, public GlooEnd {
 public:
  static absl::StatusOr<std::unique_ptr<GlooTransport>> Open(const std::string& host, int rank, int size);
  ~GlooTransport() override;

  // Blocks until every other rank is connected, or until Break is called.
  absl::Status Connect(std::span<const std::string> addresses);

  const std::string& address() const override { return address_; }
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  absl::Status StartSend(const void* data, int64_t bytes, int to, int tag) override;
  absl::Status StartReceive(void* data, int64_t bytes, int from, int tag) override;
  absl::Status Finish(std::chrono::steady_clock::time_point start, absl::Duration timeout,
                      const char* what) override;
  void Break(const std::string& why) override;
  absl::Status CheckIntact() override;

 private:
  struct Message {
    std::unique_ptr<gloo::transport::UnboundBuffer> buffer;
    int peer = 0;
    bool receives = false;
  };

  GlooTransport(int rank, int size) : rank_(rank), size_(size), contexts_(size) {}

  absl::Status Start(void* data, int64_t bytes, int peer, int tag, bool receives);
  absl::Status FinishMessages(std::chrono::steady_clock::time_point start, absl::Duration timeout,
                              const char* what);

  const int rank_;
  const int size_;
  std::string address_;
  std::shared_ptr<gloo::transport::Device> device_;
  // Entry r has the connection to rank r; entry rank_ is null. Set by Open, and not changed after.
  std::vector<std::shared_ptr<gloo::transport::Context>> contexts_;

  std::atomic<bool> broken_{false};
  std::mutex mutex_;
  std::string why_;                // guarded by mutex_
  std::vector<Message> messages_;  // of the call in progress; changed by the caller's thread, under mutex_
};

}  // namespace deeprack::worker
