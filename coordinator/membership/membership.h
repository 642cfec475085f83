// The port at which workers join, and the watch over them. One epoch: the workers of one layout, from the
// first hello to the first loss.
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
  HealthLimits health;
};

// A rank of the layout and the worker that is it.
struct Member {
  Rank rank = 0;
  JoinedNode node;
};

class Membership {
 public:
  // Starts to listen. FailedPrecondition: open to the network without tls; Unavailable: the port is
  // in use. `clock`
  // outlives this.
  static absl::StatusOr<std::unique_ptr<Membership>> Start(const MembershipOptions& options, Clock* clock);
  virtual ~Membership() = default;  // closes all streams; no callback is made any more

  virtual int port() const = 0;

  // Blocks until every rank has its worker; entry r is rank r. DeadlineExceeded after `timeout`, with the
  // number that came and the launch ranks that are missing; Unavailable at once when one that came is lost
  // again. At once, too, when a worker was turned down, as it will not come again: with the reason it was
  // given.
  virtual absl::StatusOr<std::vector<Member>> WaitForWorld(absl::Duration timeout) = 0;

  // How many have joined so far, and how many there will be.
  virtual int joined() const = 0;
  virtual int expected() const = 0;

  // `on_loss` is called once for every worker lost, before this call or after it; from threads of this
  // object, which it must not block. Losses are noticed when the stream breaks (at once), when heartbeats
  // stop and when a rank with work makes no progress.
  virtual void OnLoss(std::function<void(const Loss&)> on_loss) = 0;

  // From now on workers that leave are not lost: they have been told to stop.
  virtual void ExpectDepartures() = 0;
};

}  // namespace deeprack::coordinator
