// Makes the same call to every rank at once, and joins the outcomes. Internal to dispatch/.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "coordinator/dispatch/worker_pool.h"

namespace deeprack::coordinator {

// One call to each rank: Start for each, then Wait. A loss in the pool cancels all of them.
class WorkerCalls {
 public:
  explicit WorkerCalls(WorkerPool* pool);
  ~WorkerCalls();  // after Wait

  // `start` starts the call with the given `done`.
  void Start(Rank rank, const std::function<std::unique_ptr<WorkerClient::Call>(WorkerClient::Done)>& start);

  // Blocks up to `timeout`. True when all calls have ended or one has failed.
  bool SettledWithin(absl::Duration timeout);

  // Call it before Wait. If a call failed because a deadline of its rank passed, blocks until every call has
  // ended, up to `time`. Ranks enter an exchange at different times, so a rank that only waits for an absent
  // one may reach its own deadline later.
  void LetDeadlinesPass(absl::Duration time);

  // Blocks until every call has ended. After one fails, the others have a moment to fail by themselves, which
  // tells the cause from its consequences, and are then cancelled. Returns the error nearest to the cause,
  // with its rank's name.
  absl::Status Wait();

  void Cancel();

  // After Wait: the ranks that were still in their calls when Wait cancelled them.
  const std::vector<Rank>& unanswered() const { return unanswered_; }

 private:
  struct Call {
    std::unique_ptr<WorkerClient::Call> call;  // set when the function that starts the call has returned
    bool ended = false;
    absl::Status status;
  };

  void Ended(Rank rank, const absl::Status& status);
  absl::Status Verdict();

  WorkerPool* const pool_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Call> calls_;  // entry r is rank r's call
  int running_;
  bool failed_ = false;
  bool cancelled_ = false;
  std::vector<Rank> unanswered_;
};

}  // namespace deeprack::coordinator
