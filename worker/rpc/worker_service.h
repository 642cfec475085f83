// The gRPC service Worker. Handlers queue their work for the engine thread and return.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "constraint/vocabulary_keeper.h"
#include "proto/cluster.grpc.pb.h"
#include "worker/rpc/engine_thread.h"
#include "worker/rpc/step_stream.h"

namespace deeprack::worker {

// What a worker prepares for a new world of ranks: the fields of NewWorldRequest.
struct WorldOpening {
  std::string over;
  Epoch epoch = 0;
  Rank rank = 0;
  int size = 1;
};
using NewWorldMaker = std::function<absl::StatusOr<std::string>(const WorldOpening&)>;

// A load, as far as the worker remembers it: what it tells the next coordinator (Kept in cluster.proto), and
// whether its ranks met over NCCL.
struct LoadMemory {
  Epoch epoch = 0;  // 0: the worker has not been told to load
  Rank rank = -1;
  std::string options;
  bool over_nccl = false;
};

class WorkerService final : public cluster::Worker::CallbackService {
 public:
  struct Events {
    std::function<void(const absl::Status&, const LoadMemory&)> on_loaded;  // the end of each Load
    std::function<void(std::string reason)> on_stop;  // the coordinator asks this process to end
    // Prepares a world of ranks and returns the id of NewWorldReply. Empty: this worker meets no others but
    // in its launcher's world.
    NewWorldMaker new_world;
  };

  // `engine` outlives the service. default_threads: for requests with 0 threads.
  WorkerService(EngineThread* engine, int default_threads, Events events);

  grpc::ServerUnaryReactor* NewWorld(grpc::CallbackServerContext* context,
                                     const cluster::NewWorldRequest* request,
                                     cluster::NewWorldReply* response) override;
  grpc::ServerWriteReactor<cluster::LoadProgress>* Load(grpc::CallbackServerContext* context,
                                                        const cluster::LoadRequest* request) override;
  StepStreams::Reactor* Steps(grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* Stop(grpc::CallbackServerContext* context, const cluster::StopRequest* request,
                                 cluster::StopReply* response) override;

  // Call before the server's shutdown, which waits for open calls.
  void EndStreams() { streams_.EndAll(); }

 private:
  EngineThread* const engine_;
  const int default_threads_;
  const Events events_;
  constraint::VocabularyKeeper vocabularies_;
  StepStreams streams_;
};

}  // namespace deeprack::worker
