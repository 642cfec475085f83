#include "cli/load/load_run.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <queue>
#include <string>
#include <utility>

namespace deeprack::cli {
namespace {

// A request's text is made this long before the request is sent, so that making texts delays no request.
constexpr double kLead = 0.25;  // seconds
constexpr double kStartDelay =
    0.1;  // an open loop begins this long after the call, once the first texts are made
constexpr std::chrono::milliseconds kLookAround(50);

struct DueTurn {
  double at = 0;  // the client's time
  size_t session = 0;
  bool operator>(const DueTurn& other) const {
    return std::pair(at, session) > std::pair(other.at, other.session);
  }
};

struct Ended {
  size_t session = 0;
  RequestRecord record;
};

// The network threads put requests that have ended here. The inbox outlives a run that is cut short.
struct Inbox {
  std::mutex mutex;
  std::condition_variable filled;
  std::vector<Ended> ended;
};

class Conductor {
 public:
  Conductor(const std::vector<SessionPlan>& sessions, int64_t streams, const BodyMaker& bodies,
            StreamClient& client)
      : sessions_(sessions), streams_(streams), bodies_(bodies), client_(client), answers_(sessions.size()) {}

  LoadRun Run(const Cancelled& cancelled, const std::function<void(int64_t)>& on_progress) {
    BeginSessions();
    while (!due_.empty() || in_flight_ > 0) {
      if (cancelled && cancelled()) {
        run_.cancelled = true;
        break;
      }
      SendDue();
      for (Ended& ended : AwaitEnded()) Take(std::move(ended));
      if (on_progress) on_progress(static_cast<int64_t>(run_.records.size()));
    }
    return std::move(run_);
  }

 private:
  void BeginSessions() {
    if (streams_ == 0) {
      const double start = client_.Now() + kStartDelay;
      for (size_t i = 0; i < sessions_.size(); ++i) due_.push({start + sessions_[i].start_seconds, i});
      return;
    }
    const double now = client_.Now();
    while (next_ < std::min(sessions_.size(), static_cast<size_t>(streams_))) due_.push({now, next_++});
  }

  void SendDue() {
    while (!due_.empty() && due_.top().at <= client_.Now() + kLead) {
      const DueTurn due = due_.top();
      due_.pop();
      const SessionPlan& session = sessions_[due.session];
      const size_t turn = answers_[due.session].size();
      const bool keep_text = turn + 1 < session.turns.size();
      ++in_flight_;
      client_.Send(bodies_.Make(session, turn, answers_[due.session]), due.at, keep_text,
                   [inbox = inbox_, session = due.session](RequestRecord record) {
                     const std::lock_guard lock(inbox->mutex);
                     inbox->ended.push_back({session, std::move(record)});
                     inbox->filled.notify_one();
                   });
    }
  }

  // Waits until a request has ended, a text must be made, or a short time has passed.
  std::vector<Ended> AwaitEnded() {
    std::chrono::duration<double> wait = kLookAround;
    if (!due_.empty())
      wait = std::min(wait, std::chrono::duration<double>(due_.top().at - kLead - client_.Now()));
    std::unique_lock lock(inbox_->mutex);
    inbox_->filled.wait_for(lock, wait, [this] { return !inbox_->ended.empty(); });
    return std::exchange(inbox_->ended, {});
  }

  void Take(Ended ended) {
    --in_flight_;
    const SessionPlan& session = sessions_[ended.session];
    std::vector<std::string>& answers = answers_[ended.session];
    RequestRecord& record = ended.record;
    answers.push_back(std::exchange(record.answer, {}));
    if (record.ok() && answers.size() < session.turns.size()) {
      due_.push({record.ended + session.turns[answers.size()].think_seconds, ended.session});
    } else {
      run_.not_sent += static_cast<int64_t>(session.turns.size() - answers.size());
      answers = {};
      if (streams_ > 0 && next_ < sessions_.size()) due_.push({record.ended, next_++});
    }
    run_.records.push_back(std::move(record));
  }

  const std::vector<SessionPlan>& sessions_;
  const int64_t streams_;
  const BodyMaker& bodies_;
  StreamClient& client_;
  std::vector<std::vector<std::string>> answers_;  // of each session that is under way
  std::priority_queue<DueTurn, std::vector<DueTurn>, std::greater<>> due_;
  size_t next_ = 0;  // the next session that a closed loop begins
  int64_t in_flight_ = 0;
  std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  LoadRun run_;
};

}  // namespace

LoadRun RunSessions(const std::vector<SessionPlan>& sessions, int64_t streams, const BodyMaker& bodies,
                    StreamClient& client, const Cancelled& cancelled,
                    const std::function<void(int64_t)>& on_progress) {
  return Conductor(sessions, streams, bodies, client).Run(cancelled, on_progress);
}

}  // namespace deeprack::cli
