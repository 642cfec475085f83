// What is one per process in MPI: the right to call it, the alarm that breaks all groups, and message tags.
// Internal to mpi/.
#pragma once

#include <mpi.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace deeprack::worker {

class MpiRuntime {
 public:
  static MpiRuntime& Get();

  // MPI_Init_thread, once. Internal or Unavailable on failure.
  absl::Status Begin();

  // As LeaveMpi in mpi_world.h.
  void End(int exit_code);

  int rank() const { return rank_; }
  int size() const { return size_; }

  // A transfer to or from one rank of MPI_COMM_WORLD, under way.
  struct Transfer {
    MPI_Request request = MPI_REQUEST_NULL;
    int64_t bytes = 0;
    int peer = 0;
    bool receives = false;
  };

  // Start and drive messages. At most kMaxMessageBytes each. Errors break the runtime and come back as
  // Aborted.
  static constexpr int64_t kMaxMessageBytes = int64_t{1} << 30;
  absl::Status StartSend(const void* data, int64_t bytes, int to, int tag, Transfer* transfer);
  absl::Status StartReceive(void* data, int64_t bytes, int from, int tag, Transfer* transfer);

  // Polls until all are done. `timeout` after `start` breaks the runtime and answers DeadlineExceeded, naming
  // the ranks that were waited for. On any error no transfer touches its buffer afterwards.
  absl::Status Finish(std::span<Transfer> transfers, std::chrono::steady_clock::time_point start,
                      absl::Duration timeout, const char* what);

  // From any thread. Tells the peers, so that their calls end now rather than at their deadline.
  void Break(const std::string& why);
  absl::Status CheckIntact();

  // Tag 0 is the alarm's; the group of all ranks has the first ones.
  static constexpr int kFirstTag = 1;
  // A new group takes kTagsPerGroup tags that are free on all of its members: from the highest of their
  // proposals.
  static constexpr int kTagsPerGroup = 2;
  int proposed_tag() const { return next_tag_; }
  void TakeTags(int first);

 private:
  MpiRuntime() = default;

  absl::Status Check(int code, const char* what);  // caller holds mutex_
  void BreakLocked(const std::string& why, bool tell_peers);
  absl::Status BrokenStatusLocked() const;
  void AbandonLocked(std::span<Transfer> transfers);

  std::mutex mutex_;  // MPI_THREAD_SERIALIZED: held around every call of MPI
  std::atomic<bool> broken_{false};
  std::string why_;
  bool in_doubt_ =
      false;  // a transfer that could not be cancelled may still touch its buffer: no more calls of MPI
  MPI_Request alarm_ = MPI_REQUEST_NULL;  // a receive from any rank: the message that says "broken"
  int alarm_from_ = -1;
  bool begun_ = false;
  int rank_ = 0;
  int size_ = 1;
  int next_tag_ = kFirstTag + kTagsPerGroup;
};

}  // namespace deeprack::worker
