// The coordinator in this process, with simulated ranks: HTTP server, router, chat template, tokenizer, step
// loop and scheduler are those of deeprack-coordinator. Membership, gRPC and the ranks are not there.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "bench/coordinator/simulated_ranks.h"
#include "coordinator/api/api_context.h"
#include "coordinator/api/http_server.h"
#include "coordinator/dispatch/step_loop.h"

namespace deeprack::bench {

struct RackOptions {
  std::string model;  // a folder; its tokenizer and chat template serve
  RackCost cost;
  // The ranks' tokens are ASCII without the end of reasoning, so no event waits for the tokens after it.
  bool event_for_each_token = false;
  int32_t dp = 320;
  int32_t prefill_tokens_beside_decodes = 0;
  int32_t max_sequences = 128;  // in one dp group
  int32_t max_waiting = 1024;
  int32_t max_context = 0;            // 0: the model's
  int32_t blocks_per_dp_rank = 2048;  // of 64 tokens
  coordinator::HttpOptions http;
};

// What the coordinator has used so far.
struct CoordinatorUse {
  absl::Time at;
  int64_t tokens = 0;        // generated
  absl::Duration processor;  // of this process without the simulated ranks
  absl::Duration in_kernel;  // part of `processor`
  int64_t resident_bytes = 0;
};

// Of this process, without `tokens`, and with all of its threads.
CoordinatorUse UseOfProcess();

class ServedRack {
 public:
  static absl::StatusOr<std::unique_ptr<ServedRack>> Start(const RackOptions& options);
  ~ServedRack();

  uint16_t port() const { return server_->port(); }
  CoordinatorUse Use() const;
  coordinator::ServingStats Stats() const { return loop_->Stats(); }

 private:
  ServedRack(std::shared_ptr<coordinator::ServedModel> model, std::vector<TokenId> script,
             const RackOptions& options);

  SystemClock clock_;
  coordinator::ApiContext context_;
  SimulatedRanks ranks_;
  std::unique_ptr<coordinator::StepLoop> loop_;
  std::unique_ptr<coordinator::HttpServer> server_;
};

}  // namespace deeprack::bench
