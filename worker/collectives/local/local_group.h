// The meeting point of the threads of one local group. Each thread posts its arguments; when all have posted,
// each thread copies from the others' buffers. Used only in local/.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace deeprack::worker {

// State that all groups of one world share. All of them break together.
struct LocalWorld {
  absl::Duration timeout;
  std::mutex mutex;
  std::condition_variable changed;
  bool broken = false;  // `mutex` guards broken, why and all state of the world's groups
  std::string why;      // the error that broke the world
};

class LocalGroup {
 public:
  // One rank's arguments of a collective call. Peers read them while they copy (Meet).
  struct Call {
    const char* name = "";  // the operation; must be equal on all ranks
    int64_t size = 0;       // its size argument; must be equal on all ranks
    const void* in = nullptr;
    void* out = nullptr;
    std::span<const int64_t> in_bytes;  // for AllToAllV: [size] bytes to each peer
    int color = 0;                      // for Split
  };

  LocalGroup(std::shared_ptr<LocalWorld> world, int size);

  int size() const { return size_; }
  absl::Duration timeout() const { return world_->timeout; }

  // Waits until all ranks have posted their calls, runs `copy` with all calls [size], then waits until the
  // copies of all ranks have ended. So no rank frees a buffer while a peer reads it. Either all ranks run
  // `copy` or none does.
  absl::Status Meet(int rank, const Call& call, const std::function<void(std::span<const Call>)>& copy);

  // As Meet. Returns the group of the ranks with the same color; all of them get the same object.
  absl::StatusOr<std::shared_ptr<LocalGroup>> MeetToSplit(int rank, int color, int* rank_in_new);

  // The receiver copies from the sender's buffer. Each waits for the other.
  absl::Status Send(const void* data, int64_t bytes, int from, int to);
  absl::Status Receive(void* data, int64_t bytes, int from, int to);

  void Abort(const std::string& why);

 private:
  using Deadline = std::chrono::steady_clock::time_point;
  using Lock = std::unique_lock<std::mutex>;

  struct Letter {
    enum State { kEmpty, kPosted, kCopying, kCopied } state = kEmpty;
    const void* data = nullptr;
    int64_t bytes = 0;
  };

  Deadline DeadlineFromNow() const;
  absl::Status BrokenStatus() const;
  absl::Status Break(absl::Status status);
  // Waits until done() is true, the world breaks, or the deadline passes, which breaks the world. OK if
  // done() is true, even if the world is broken.
  absl::Status WaitUntil(Lock& lock, Deadline deadline, const std::function<bool()>& done,
                         const std::function<std::string()>& waiting_for);
  absl::Status CheckCallsAgree() const;
  std::string MissingRanks() const;

  const std::shared_ptr<LocalWorld> world_;
  const int size_;

  // The current meeting. world_->mutex guards it; calls_ is read without the mutex while copying_ > 0.
  std::vector<Call> calls_;
  std::vector<bool> arrived_;
  int num_arrived_ = 0;
  uint64_t meetings_ = 0;   // meetings at which all ranks have arrived
  absl::Status agreement_;  // of the last complete meeting: error if the calls differ
  int copying_ = 0;         // ranks whose copy of the last complete meeting has not ended
  std::map<int, std::shared_ptr<LocalGroup>> split_;

  std::vector<Letter> letters_;  // [from * size + to]
};

}  // namespace deeprack::worker
