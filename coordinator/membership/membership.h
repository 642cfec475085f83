// The port at which workers join, and the watch over them. An epoch goes from the first hello of its workers,
// one for each rank of the layout, to the first loss among them. With `reform` another one follows.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/rpc/cluster_tls.h"
#include "coordinator/membership/member_table.h"
#include "model/layout/layout.h"

namespace deeprack::coordinator {

struct MembershipOptions {
  std::string listen = "127.0.0.1:0";  // port 0: any
  std::optional<ClusterTls> tls;       // needed where `listen` is not loopback
  model::Layout layout;
  Epoch epoch = 1;
  bool reform = false;  // a loss opens the next epoch
  HealthLimits health;
};

// A rank of the layout and the worker that is it.
struct Member {
  Rank rank = 0;
  JoinedNode node;
};

// All ranks of an epoch.
struct World {
  Epoch epoch = 0;
  std::vector<Member> members;  // entry r is rank r
};

class Membership {
 public:
  // Starts to listen. FailedPrecondition: open to the network without tls; Unavailable: the port is in use.
  // `clock` outlives this.
  static absl::StatusOr<std::unique_ptr<Membership>> Start(const MembershipOptions& options, Clock* clock);
  virtual ~Membership() = default;  // closes all streams; no callback is made any more

  virtual int port() const = 0;

  // Blocks until every rank of the latest epoch has its worker. DeadlineExceeded after `timeout`, with the
  // number that came and the ranks that are missing. In the first epoch, where nobody comes twice,
  // Unavailable at once when one that came is lost again, and the reason at once when one was turned down; in
  // a later one their places stay open, and the message of DeadlineExceeded tells the last reason.
  virtual absl::StatusOr<World> WaitForWorld(absl::Duration timeout) = 0;

  // How many have joined so far, how many there will be, and the ranks that have nobody yet.
  virtual int joined() const = 0;
  virtual int expected() const = 0;
  virtual std::vector<Rank> missing() const = 0;

  // Opens the epoch after `epoch`, unless that is open already, as after a loss. Workers whose ranks can meet
  // again in it are its first members; others are told to leave, and must come as new processes.
  virtual void EndEpoch(Epoch epoch) = 0;

  // `on_loss` is called once for every worker lost of those that had come, before this call or after it; from
  // threads of this object, which it must not block. With `reform` only the first loss of an epoch is told,
  // and none of one that is open after the first. Losses are noticed when the stream breaks (at once), when
  // heartbeats stop and when a rank with work makes no progress.
  virtual void OnLoss(std::function<void(const Loss&)> on_loss) = 0;

  // From now on workers that leave are not lost: they have been told to stop.
  virtual void ExpectDepartures() = 0;
};

}  // namespace deeprack::coordinator
