// What deeprack-coordinator is told: flags, then DEEPRACK_* in the environment, then the YAML file, then
// defaults.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "model/budget/budget.h"
#include "model/layout/layout.h"

namespace deeprack::coordinator {

struct CoordinatorOptions {
  std::string model;
  std::string host = "127.0.0.1";
  uint16_t port = 8000;                         // 0: any free one
  std::string cluster_address = "127.0.0.1:0";  // where workers attach; port 0: any
  std::string cluster_tls;                      // folder of certificates; needed beyond loopback
  int32_t tp = 1, dp = 1, pp = 1;
  int32_t ep = 0;                                          // 0: tp * dp
  std::string compute = "bf16";                            // bf16, f32
  std::string load_format = "auto";                        // model::kLoadFormatNames
  std::string kv_cache_dtype = "auto";                     // model::kKvCacheTypeNames
  std::string expert_exchange = "replicated";              // replicated, all_to_all
  std::string prefill_attention = "expanded";              // absorbed, expanded
  int32_t max_context = 0;                                 // 0: the model's
  int32_t max_step_tokens = model::kDefaultMaxStepTokens;  // per dp group
  int32_t max_sequences = model::kDefaultMaxSequences;     // running at once in one dp group
  int32_t max_waiting = 1024;                              // queued
  int32_t max_logprobs = 20;                               // a request's logprobs at each position
  int64_t kv_bytes = 0;                                    // per rank; 0: the worker chooses
  int32_t threads = 0;                                     // of each rank; 0: its share of the cores
  double worker_timeout = 600;                             // seconds to wait for all ranks
  double load_progress_timeout = 900;  // seconds without progress after which a loading rank is lost
  double recovery_timeout = 300;       // seconds to wait for them after a loss; 0: that ends serving
  std::string served_model_name;       // empty: the folder's name
  bool generation_config = true;       // sampling defaults from generation_config.json
  std::string log_level = "info";

  model::Layout layout() const { return {.tp = tp, .dp = dp, .ep = ep > 0 ? ep : tp * dp, .pp = pp}; }
};

// Fills `options`. When the program should end at once (--help, or an error that was printed), its exit code:
// 0, 64 (the command line), 78 (the environment or the file).
std::optional<int> ReadOptions(int argc, char** argv, CoordinatorOptions* options);

}  // namespace deeprack::coordinator
