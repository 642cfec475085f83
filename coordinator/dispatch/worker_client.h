// The calls that the coordinator makes to one rank: over gRPC in service, in process in tests.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "proto/cluster.pb.h"

namespace deeprack::coordinator {

class WorkerClient {
 public:
  // A call under way. To be destroyed after its `done` was called.
  class Call {
   public:
    virtual ~Call() = default;
    // `done` is then called soon, whatever the rank does, with Cancelled unless the call had ended. From any
    // thread, any number of times.
    virtual void Cancel() = 0;
  };
  // Called exactly once for each call, from any thread, perhaps before the function that starts the call has
  // returned.
  using Done = std::function<void(const absl::Status&)>;
  using OnProgress = std::function<void(const cluster::LoadProgress&)>;

  // The steps of one epoch on one rank. A Call whose `done` comes with OK only after EndPlans.
  class StepStream : public Call {
   public:
    // Sends a serialized cluster.StepPlan. The ranks of a group share the bytes. From one thread; the plans
    // arrive in the order of the calls. Does nothing when the stream has ended.
    virtual void Send(std::shared_ptr<const std::string> plan) = 0;
    // There are no more plans: the stream ends when the rank has answered all that were sent.
    virtual void EndPlans() = 0;
  };
  using OnResult = std::function<void(cluster::StepResult)>;

  virtual ~WorkerClient() = default;

  // The methods of cluster.proto's service Worker. Requests and replies outlive their calls.
  virtual std::unique_ptr<Call> NewWorld(const cluster::NewWorldRequest& request, absl::Duration timeout,
                                         cluster::NewWorldReply* reply, Done done) = 0;
  // `progress` is called for one message after the other, and before `done`.
  virtual std::unique_ptr<Call> Load(const cluster::LoadRequest& request, OnProgress progress, Done done) = 0;
  // The results come one after the other, and before `done`.
  virtual std::unique_ptr<StepStream> Steps(OnResult on_result, Done done) = 0;
  virtual std::unique_ptr<Call> Stop(const cluster::StopRequest& request, absl::Duration timeout,
                                     Done done) = 0;
};

}  // namespace deeprack::coordinator
