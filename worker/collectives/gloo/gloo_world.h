// Ranks as processes that no launcher started together, over gloo's TCP transport. Buffers are host memory.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/collectives/communicator.h"

namespace deeprack::worker {

// One rank's end of a world that forms. It listens for each other rank at a port of its own.
class GlooEnd {
 public:
  virtual ~GlooEnd() = default;  // closes the ports, unless JoinGlooWorld has taken them

  // Where this end listens for each other rank. Every rank of the world needs the addresses of all ends. They
  // are valid for one world, and on machines with one byte order.
  virtual const std::string& address() const = 0;
};

// Listens at free ports of the address `host`, a name or an address of this machine. Does not wait. From
// then on the process ignores SIGPIPE. InvalidArgument: no such rank. Unavailable: `host` is not this
// machine's, or no port or descriptor is free.
absl::StatusOr<std::unique_ptr<GlooEnd>> OpenGlooWorld(const std::string& host, int rank, int size);

// Joins the world whose ends have these addresses, entry r from rank r. Waits for all other ranks to join, up
// to `timeout` or until `given_up` returns true. Abort from any thread, a lost connection or a deadline
// breaks the world and closes its connections, which ends the calls of the other ranks. Errors:
// InvalidArgument (the addresses do not fit the world), DeadlineExceeded, Aborted.
absl::StatusOr<std::unique_ptr<Communicator>> JoinGlooWorld(std::unique_ptr<GlooEnd> end,
                                                            std::span<const std::string> addresses,
                                                            absl::Duration timeout,
                                                            const std::function<bool()>& given_up);

}  // namespace deeprack::worker
