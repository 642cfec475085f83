// The parts of MPI that exist once in a process: the right to call MPI, the alarm message that breaks all
// groups, and the messages. Used only in mpi/.
#pragma once

#include <mpi.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "worker/collectives/message_transport.h"

namespace deeprack::worker {

class MpiRuntime final : public MessageTransport {
 public:
  static MpiRuntime& Get();

  // Calls MPI_Init_thread once. Errors: Internal, Unavailable.
  absl::Status Begin();

  // Does what LeaveMpi in mpi_world.h describes.
  void End(int exit_code);

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  absl::Status StartSend(const void* data, int64_t bytes, int to, int tag) override;
  absl::Status StartReceive(void* data, int64_t bytes, int from, int tag) override;
  absl::Status Finish(std::chrono::steady_clock::time_point start, absl::Duration timeout,
                      const char* what) override;  // polls
  void Break(const std::string& why) override;     // by a message with the alarm's tag
  absl::Status CheckIntact() override;

 private:
  // A message of MPI's in progress, to or from one rank of MPI_COMM_WORLD.
  struct Transfer {
    MPI_Request request = MPI_REQUEST_NULL;
    int64_t bytes = 0;
    int peer = 0;
    bool receives = false;
  };

  MpiRuntime() = default;

  absl::Status Check(int code, const char* what);  // the caller must hold mutex_
  void BreakLocked(const std::string& why, bool tell_peers);
  absl::Status BrokenStatusLocked() const;
  absl::Status FinishTransfers(std::chrono::steady_clock::time_point start, absl::Duration timeout,
                               const char* what);
  void AbandonLocked();

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
  std::vector<Transfer> transfers_;  // of the call in progress
};

}  // namespace deeprack::worker
