// The events of workers' streams, and the stream as its receiver uses it. Has no gRPC, so tests can have
// workers join in one process. Internal to membership/ and its tests.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "coordinator/placement/placement.h"

namespace deeprack::coordinator {

// The coordinator's end of one worker's stream.
class AttachStream {
 public:
  virtual ~AttachStream() = default;
  // Sent at the start of each epoch that the worker is in.
  virtual void Welcome(Rank rank, Epoch epoch) = 0;
  // The coordinator ends in order. Sent at most once, as the last message.
  virtual void Dismiss(const std::string& reason) = 0;
};

// Called from the threads of the streams.
class AttachHandler {
 public:
  virtual ~AttachHandler() = default;
  // Returns the worker's member number, or the reason why the worker is refused. `stream` may be used until
  // OnEnd returns.
  virtual absl::StatusOr<int> OnHello(const JoinedNode& node, AttachStream* stream) = 0;
  // An error ends the stream with that error.
  virtual absl::Status OnHeartbeat(int member, uint64_t steps_finished, bool busy) = 0;
  // on_purpose: the worker sent Goodbye.
  virtual void OnEnd(int member, const std::string& why, bool on_purpose) = 0;
};

}  // namespace deeprack::coordinator
