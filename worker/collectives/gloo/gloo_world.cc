#include "worker/collectives/gloo/gloo_world.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "worker/collectives/gloo/gloo_transport.h"
#include "worker/collectives/message_communicator.h"

namespace deeprack::worker {
namespace {

absl::StatusOr<std::unique_ptr<Communicator>> Meet(const std::shared_ptr<GlooTransport>& transport,
                                                   std::span<const std::string> addresses,
                                                   absl::Duration timeout) {
  DR_RETURN_IF_ERROR(transport->Connect(addresses));
  return MakeMessageCommunicator(transport, timeout);
}

// Breaks a transport whose ranks still meet when its time is over or when the epoch is given up.
class Watch {
 public:
  Watch(MessageTransport* transport, absl::Duration timeout, const std::function<bool()>& given_up)
      : thread_([this, transport, timeout, &given_up] {
          constexpr auto kLookEvery = std::chrono::milliseconds(20);
          const auto deadline = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(timeout);
          std::unique_lock lock(mutex_);
          while (!changed_.wait_for(lock, kLookEvery, [this] { return met_; })) {
            if (given_up()) return transport->Break("the epoch was given up");
            if (std::chrono::steady_clock::now() < deadline) continue;
            expired_ = true;
            return transport->Break("the time to meet is over");
          }
        }) {}

  // Ends the watch. True: the time was over.
  bool End() {
    {
      const std::lock_guard lock(mutex_);
      met_ = true;
      changed_.notify_all();
    }
    thread_.join();
    return expired_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool met_ = false;
  bool expired_ = false;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<GlooEnd>> OpenGlooWorld(const std::string& host, int rank, int size) {
  return GlooTransport::Open(host, rank, size);
}

absl::StatusOr<std::unique_ptr<Communicator>> JoinGlooWorld(std::unique_ptr<GlooEnd> end,
                                                            std::span<const std::string> addresses,
                                                            absl::Duration timeout,
                                                            const std::function<bool()>& given_up) {
  // Every end is a GlooTransport.
  const std::shared_ptr<GlooTransport> transport(static_cast<GlooTransport*>(end.release()));
  Watch watch(transport.get(), timeout, given_up);
  absl::StatusOr<std::unique_ptr<Communicator>> world = Meet(transport, addresses, timeout);
  if (watch.End()) {
    return absl::DeadlineExceededError(absl::StrCat("rank ", transport->rank(), " waited ",
                                                    absl::FormatDuration(timeout), " for the other ",
                                                    transport->size() - 1, " ranks to join"));
  }
  return world;
}

}  // namespace deeprack::worker
