// A worker in this process, without gRPC: its engine thread, its place in a roster, and the coordinator's
// client for it. ThreadSanitizer sees every access of a test that uses this worker.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "coordinator/dispatch/worker_client.h"
#include "coordinator/membership/attach_handler.h"
#include "tests/ranks/fake_engine.h"
#include "worker/collectives/communicator.h"
#include "worker/rpc/engine_thread.h"

namespace deeprack {

// Worlds of ranks by their secrets, as NCCL has them. Thread-safe.
class LocalWorlds {
 public:
  std::string Open();  // a new secret
  absl::StatusOr<std::unique_ptr<worker::Communicator>> Join(const worker::WorldRequest& request);

 private:
  std::mutex mutex_;
  int opened_ = 0;
  std::map<std::string, std::vector<std::unique_ptr<worker::Communicator>>> worlds_;
};

class LocalWorker {
 public:
  // `worlds` outlives this. `pid` names the worker.
  LocalWorker(int64_t pid, LocalWorlds* worlds, worker::FakeBehaviour behaviour);
  ~LocalWorker();  // calls Die

  // Joins as a worker with its own card. `handler` outlives this.
  absl::Status Join(coordinator::AttachHandler* handler);
  // Sends one heartbeat, from any thread. Returns the handler's answer; OK before Join, Unavailable after
  // Die.
  absl::Status Beat();

  // Ends the process: all of its calls fail with Unavailable, now and later, and its stream breaks.
  void Die();

  // A client for the calls of one epoch. The client may outlive this.
  std::unique_ptr<coordinator::WorkerClient> MakeClient();

  bool was_told_to_stop() const;

 private:
  struct Process;  // the state that clients and calls share with the worker
  class Client;
  class Call;
  class Stream;

  const int64_t pid_;
  const std::shared_ptr<Process> process_;
  const std::unique_ptr<Stream> stream_;
  std::mutex mutex_;
  bool ended_ = false;
  coordinator::AttachHandler* handler_ = nullptr;
  int member_ = -1;
};

}  // namespace deeprack
