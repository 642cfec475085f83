// The parts of MPI that exist once in a process: the right to call MPI, the alarm message that breaks all
// groups, and message tags. Used only in mpi/.
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

  // Calls MPI_Init_thread once. Errors: Internal, Unavailable.
  absl::Status Begin();

  // Does what LeaveMpi in mpi_world.h describes.
  void End(int exit_code);

  int rank() const { return rank_; }
  int size() const { return size_; }

  // A transfer in progress, to or from one rank of MPI_COMM_WORLD.
  struct Transfer {
    MPI_Request request = MPI_REQUEST_NULL;
    int64_t bytes = 0;
    int peer = 0;
    bool receives = false;
  };

  // Start a message of at most kMaxMessageBytes. Errors break the runtime and are returned as Aborted.
  static constexpr int64_t kMaxMessageBytes = int64_t{1} << 30;
  absl::Status StartSend(const void* data, int64_t bytes, int to, int tag, Transfer* transfer);
  absl::Status StartReceive(void* data, int64_t bytes, int from, int tag, Transfer* transfer);

  // Polls until all transfers are done. When `timeout` has passed since `start`, breaks the runtime and
  // returns DeadlineExceeded with the ranks it waited for. After any error no transfer touches its buffer any
  // more.
  absl::Status Finish(std::span<Transfer> transfers, std::chrono::steady_clock::time_point start,
                      absl::Duration timeout, const char* what);

  // Breaks all groups. Tells the peers, so that their calls end at once and not at their deadline. May be
  // called from any thread.
  void Break(const std::string& why);
  absl::Status CheckIntact();

  // Tag 0 is the alarm's. The group of all ranks has the next kTagsPerGroup tags.
  static constexpr int kFirstTag = 1;
  // A new group takes kTagsPerGroup tags that are free on all its members: they begin at the highest of the
  // members' proposed_tag().
  static constexpr int kTagsPerGroup = 2;
  int proposed_tag() const { return next_tag_; }
  void TakeTags(int first);

 private:
  MpiRuntime() = default;

  absl::Status Check(int code, const char* what);  // the caller must hold mutex_
  void BreakLocked(const std::string& why, bool tell_peers);
  absl::Status BrokenStatusLocked() const;
  void AbandonLocked(std::span<Transfer> transfers);

  std::mutex mutex_;  // held during every call of MPI (MPI_THREAD_SERIALIZED)
  std::atomic<bool> broken_{false};
  std::string why_;
  // True: a transfer could not be cancelled and may still touch its buffer, so MPI must not be called any
  // more.
  bool in_doubt_ = false;
  MPI_Request alarm_ = MPI_REQUEST_NULL;  // receives the message that a rank sends when it breaks
  int alarm_from_ = -1;
  bool begun_ = false;
  int rank_ = 0;
  int size_ = 1;
  int next_tag_ = kFirstTag + kTagsPerGroup;
};

}  // namespace deeprack::worker
