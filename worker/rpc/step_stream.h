// The worker's end of the stream that carries the steps of one epoch down and their results up (rpc Steps).
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/cluster.grpc.pb.h"
#include "worker/rpc/engine_thread.h"

namespace deeprack::worker {

// The open streams of a worker. Thread-safe.
class StepStreams {
 public:
  // `engine` outlives this and all streams.
  explicit StepStreams(EngineThread* engine) : engine_(engine) {}

  using Reactor = grpc::ServerBidiReactor<cluster::StepPlan, cluster::StepResult>;

  // A new stream, which deletes itself. It reads plans while steps run, and hands each to the engine thread.
  // Results go out in the order of the plans. When the coordinator cancels the stream or the connection
  // breaks, the stream aborts its epoch if a step is under way. The stream ends with the first error: that of
  // a step, InvalidArgument (a plan of another epoch than the stream's first one, or a plan that makes no
  // sense) or ResourceExhausted (more than kMostUnderWay steps under way). Results of earlier steps go out
  // first.
  Reactor* Open();

  // Ends all streams with Aborted, each when its steps have ended.
  void EndAll();

  static constexpr int kMostUnderWay = 4;

 private:
  class Stream;

  EngineThread* const engine_;
  std::mutex mutex_;
  std::set<Stream*> open_;
};

}  // namespace deeprack::worker
