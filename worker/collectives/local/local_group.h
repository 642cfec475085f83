// Where the threads of one local group meet: each posts its arguments, and once all have, each copies what it
// needs straight out of the others' buffers. Internal to local/.
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

// What all groups of one world share: they break together.
struct LocalWorld {
  absl::Duration timeout;
  std::mutex mutex;
  std::condition_variable changed;
  bool broken = false;  // guarded by mutex, as is `why` and all state of the world's groups
  std::string why;
};

class LocalGroup {
 public:
  // One rank's arguments of a collective call. Peers read them between the two phases of Meet.
  struct Call {
    const char* name = "";  // the operation; all ranks' agree
    int64_t size = 0;       // its size argument; all ranks' agree
    const void* in = nullptr;
    void* out = nullptr;
    std::span<const int64_t> in_bytes;  // per peer, for AllToAllV
    int color = 0;                      // for Split
  };

  LocalGroup(std::shared_ptr<LocalWorld> world, int size);

  int size() const { return size_; }
  absl::Duration timeout() const { return world_->timeout; }

  // Waits until every rank has posted its call, then runs `copy` (with all calls, by rank), then waits until
  // every rank's copy has ended, so that no buffer is let go while a peer reads it. Either all ranks get that
  // far or none.
  absl::Status Meet(int rank, const Call& call, const std::function<void(std::span<const Call>)>& copy);

  // As Meet; the group of those with the same color, made once for all of them.
  absl::StatusOr<std::shared_ptr<LocalGroup>> MeetToSplit(int rank, int color, int* rank_in_new);

  // The receiver copies straight from the sender's buffer; both wait for each other.
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
  // Waits until `done`, which outranks breakage, or the world breaks, or the deadline passes (which breaks
  // it).
  absl::Status WaitUntil(Lock& lock, Deadline deadline, const std::function<bool()>& done,
                         const std::function<std::string()>& waiting_for);
  absl::Status CheckCallsAgree() const;
  std::string MissingRanks() const;

  const std::shared_ptr<LocalWorld> world_;
  const int size_;

  // The meeting under way; guarded by world_->mutex, but calls_ is read without it while copying_ > 0.
  std::vector<Call> calls_;
  std::vector<bool> arrived_;
  int num_arrived_ = 0;
  uint64_t meetings_ = 0;   // how many have had everyone arrive
  absl::Status agreement_;  // of the last complete meeting
  int copying_ = 0;         // ranks that have yet to end their copy of the last complete meeting
  std::map<int, std::shared_ptr<LocalGroup>> split_;

  std::vector<Letter> letters_;  // [from * size + to]
};

}  // namespace deeprack::worker
