// The members of the epochs, shared by the threads of workers' streams, the health timer and the coordinator.
// Each operation has its own file: join, heartbeat, leave, check_health, wait_for_world, end_epoch, expel,
// drain, report_loss.
//
// MemberTable has the rules. The roster adds locks, callbacks and the welcome to each epoch. The roster does
// not depend on the network.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/ids.h"
#include "coordinator/membership/attach_handler.h"
#include "coordinator/membership/member_table.h"
#include "model/layout/layout.h"

namespace deeprack::coordinator {

// A rank of the layout and its worker.
struct Member {
  Rank rank = 0;
  JoinedNode node;
};

// All ranks of an epoch.
struct World {
  Epoch epoch = 0;
  model::Layout layout;
  std::vector<Member> members;  // entry r is rank r
};

struct RosterOptions {
  // As in MemberTable.
  std::vector<model::Layout> layouts = {model::Layout()};
  Epoch epoch = 1;      // the first one
  bool reform = false;  // a loss opens the next epoch
  HealthLimits health;
  std::string load_options;  // as in MemberTable
};

class Roster final : public AttachHandler {
 public:
  // `clock` outlives this.
  Roster(const RosterOptions& options, Clock* clock)
      : reform_(options.reform),
        clock_(clock),
        table_(options.layouts, options.epoch, options.health, options.load_options) {}

  // All of these methods are thread-safe. If Membership has a method of the same name, its contract is in
  // membership.h.
  absl::StatusOr<World> WaitForWorld(absl::Duration timeout);
  void EndEpoch(Epoch epoch, bool smaller = false);
  void Expel(Epoch epoch, const std::map<Rank, std::string>& why);
  bool CanDrain(Epoch epoch, const std::map<Rank, double>& slow) const;
  bool Drain(Epoch epoch, const std::map<Rank, double>& slow, absl::Duration cooldown);
  void OnLoss(std::function<void(const Loss&)> on_loss);
  void ExpectDepartures();
  void Dismiss(const std::string& reason);
  int joined() const;
  int expected() const;
  std::vector<Rank> missing() const;
  bool FormLargestFilled();
  bool fills_larger() const;

  // Finds members whose heartbeats or steps have stopped, and reports departures that are due. To be called
  // several times a second.
  void CheckHealth();

  absl::StatusOr<int> OnHello(const JoinedNode& node, AttachStream* stream) override;
  absl::Status OnHeartbeat(int member, uint64_t steps_finished, bool busy) override;
  void OnEnd(int member, const std::string& why, bool on_purpose) override;

 private:
  // A worker that said goodbye.
  struct Departure {
    int member = 0;
    std::string why;
    absl::Time report_at;
  };

  // Call it with callback_mutex_ held, so that each callback gets each loss once.
  void Report(const Loss& loss);
  // Loses the members that said goodbye, whose places a new worker may take. Loses the member whose process now
  // attaches a second time: its earlier stream is broken, although this end has not noticed that.
  void MakeRoomFor(const JoinedNode& node);

  // Call these five with mutex_ held.
  bool first() const { return table_.first(); }
  void LoseDeparted();
  void OpenNextEpoch(bool smaller = false);
  void BeginOpenEpoch();  // call it when the table has opened an epoch
  void Settle();          // gives out the ranks of an epoch whose members fill a layout

  const bool reform_;
  Clock* const clock_;

  std::mutex callback_mutex_;  // locked before mutex_ where both are held
  std::vector<std::function<void(const Loss&)>> callbacks_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  MemberTable table_;
  std::map<int, AttachStream*> streams_;  // the open streams, by member
  std::map<int, Rank> ranks_;             // by member; empty until the epoch is settled
  std::vector<Departure> departures_;     // departures that are not yet reported
  std::vector<Loss> losses_;
  absl::Status turned_down_;  // the last refusal in this epoch
  bool departing_ = false;    // true: members that leave are not lost
};

}  // namespace deeprack::coordinator
