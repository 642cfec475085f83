// The port at which workers join, and the checks of their health. An epoch begins with the first hello of its
// workers, one for each rank of the layout, and ends with the first loss among them. With `reform` another
// epoch follows. Workers may come from an earlier coordinator: the epoch is later than all of theirs.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/rpc/cluster_tls.h"
#include "coordinator/membership/health_timer.h"
#include "coordinator/membership/roster.h"
#include "model/layout/layout.h"

namespace deeprack::coordinator {

struct MembershipOptions {
  std::string listen = "127.0.0.1:0";  // port 0: any; empty: no port, workers join through handler()
  std::optional<ClusterTls> tls;       // needed where `listen` is not loopback
  // Those that may be formed: at least one, in descending order of their numbers of ranks.
  std::vector<model::Layout> layouts = {model::Layout()};
  Epoch epoch = 1;
  bool reform = false;  // a loss opens the next epoch
  HealthLimits health;
  // Names the options of the loads (DigestOfLoad). A worker that has loaded weights with these options, under
  // another coordinator, keeps its rank.
  std::string load_options;
};

class Membership {
 public:
  // Starts to listen. FailedPrecondition: open to the network without tls; Unavailable: the port is in use.
  // `clock` outlives this.
  static absl::StatusOr<std::unique_ptr<Membership>> Start(const MembershipOptions& options, Clock* clock);
  ~Membership();  // closes all streams; no callback is called after this

  int port() const;  // 0 without a port

  // Workers in this process join through this handler.
  AttachHandler& handler() { return roster_; }

  // Blocks until every rank of the latest epoch has its worker. Errors:
  // - DeadlineExceeded after `timeout`, with the number of workers that have joined and the ranks that are
  //   missing. In an epoch after the first the message also says why the last worker was refused.
  // - Unavailable, in the first epoch only: a worker that had joined is lost.
  // - The refusal's own status, in the first epoch only: a worker was refused.
  absl::StatusOr<World> WaitForWorld(absl::Duration timeout) { return roster_.WaitForWorld(timeout); }

  // The number of workers that have joined the latest epoch, the number of its ranks, and the ranks that have
  // no worker yet.
  int joined() const { return roster_.joined(); }
  int expected() const { return roster_.expected(); }
  std::vector<Rank> missing() const { return roster_.missing(); }

  // If the latest epoch is open and its workers fill a layout, forms the largest such layout. Workers that
  // are left over wait without a rank. Returns true when a layout was formed.
  bool FormLargestFilled() { return roster_.FormLargestFilled(); }

  // True when the latest epoch has its ranks, and its workers fill a larger layout than the epoch's.
  bool fills_larger() const { return roster_.fills_larger(); }

  // Opens the epoch after `epoch`, unless that epoch is open already, as it is after a loss. Workers whose
  // ranks can meet again are its first members. The other workers are told to leave, and must join as new
  // processes. As soon as the members fill the layout of `epoch` or a larger one, that layout is formed.
  // `smaller`: `epoch` could not load in its layout, so the next epoch has a smaller one, if there is one.
  void EndEpoch(Epoch epoch, bool smaller = false) { roster_.EndEpoch(epoch, smaller); }

  // Loses the workers of these ranks of `epoch`, although they send heartbeats. why[r] is the reason for rank
  // r. All of them are lost at once: the next epoch begins without them. Does nothing if another epoch is
  // open.
  void Expel(Epoch epoch, const std::map<Rank, std::string>& why) { roster_.Expel(epoch, why); }

  // True when the workers of `epoch` are faster without the workers of these ranks (MemberTable::CanDrain).
  // slow[r] is the share of the time of steps in which the other ranks wait for rank r.
  bool CanDrain(Epoch epoch, const std::map<Rank, double>& slow) const {
    return roster_.CanDrain(epoch, slow);
  }

  // If CanDrain: ends `epoch`, forms the next one without the workers of these ranks, and returns true. The
  // workers stay attached and get no rank for `cooldown`, unless no layout is filled without them after a
  // loss. OnLoss is not called: no worker is lost.
  bool Drain(Epoch epoch, const std::map<Rank, double>& slow, absl::Duration cooldown) {
    return roster_.Drain(epoch, slow, cooldown);
  }

  // Calls `on_loss` once for every worker that had joined and is lost, before this call or after it. The
  // calls come from threads of this object or from the thread that calls Expel. `on_loss` must not block.
  // With `reform` it is called only for the first loss of an epoch, and in an epoch after the first only when
  // the epoch has had all its workers. A loss is noticed when the stream breaks (at once), when heartbeats
  // stop, and when a rank with work makes no progress.
  void OnLoss(std::function<void(const Loss&)> on_loss) { roster_.OnLoss(std::move(on_loss)); }

  // From now on a worker that leaves is not lost: the workers have been told to stop.
  void ExpectDepartures() { roster_.ExpectDepartures(); }

  // Tells all workers that this coordinator ends in order. A worker that is not told keeps its weights and
  // waits for the next coordinator at this address. Implies ExpectDepartures.
  void Dismiss(const std::string& reason) { roster_.Dismiss(reason); }

 private:
  class Port;  // the gRPC server

  Membership(const MembershipOptions& options, Clock* clock);

  Roster roster_;
  std::unique_ptr<Port> port_;
  std::unique_ptr<HealthTimer> health_checks_;
};

}  // namespace deeprack::coordinator
