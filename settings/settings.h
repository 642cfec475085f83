// Every setting of the three programs as one field each, with the default. What a setting means, which values
// it takes and which programs take it stands in setting_table.cc.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "model/config/kv_cache_type.h"
#include "model/files/load_format.h"
#include "model/layout/layout.h"
#include "model/step/speculation.h"
#include "model/step/step_limits.h"
#include "settings/failure_limit.h"
#include "settings/host_slots.h"

namespace deeprack {

// The programs that take settings. kServe is the `deeprack` command: serve, plan, pack, bench, perplexity.
enum class Program : uint8_t { kServe = 1, kCoordinator = 2, kWorker = 4 };

struct Settings {
  std::string model;
  int32_t tp = 1, dp = 1, ep = 0, pp = 1;
  // Not empty: the layouts that may be formed, the largest first. The largest is that of tp, dp, ep and pp.
  std::vector<model::Layout> layouts;

  std::string compute = "bf16";
  std::string load_format = model::kDefaultLoadFormat;
  std::string kv_cache_dtype = model::kDefaultKvCacheType;
  std::string backend = "auto";
  std::string expert_exchange = "replicated";
  std::string prefill_attention = "expanded";
  std::string speculative_tokens = model::kDefaultSpeculativeTokens;

  int32_t max_context = 0;
  int32_t max_step_tokens = model::kDefaultMaxStepTokens;
  int32_t prefill_tokens_beside_decodes = 0;
  int32_t max_sequences = model::kDefaultMaxSequences;
  int32_t steps_under_way = 2;
  int32_t max_waiting = 1024;
  std::string scheduling_policy = "fcfs";
  int32_t max_logprobs = 20;
  std::string reasoning_field = "reasoning_content";
  int64_t kv_bytes = 0;

  std::string host = "127.0.0.1";
  int32_t port = 8000;
  int32_t http_threads = 0;
  int32_t max_connections = 12288;
  double keep_alive_seconds = 10;
  double idle_seconds = 75;
  double drain_seconds = 30;
  std::string cors_origins;
  std::string api_keys;
  std::string metrics_key = "required";
  int32_t stored_responses = 1024;
  int64_t stored_responses_bytes = int64_t{256} << 20;
  int32_t stored_responses_hours = 720;
  std::string served_model_name;
  std::string chat_template;
  bool generation_config = true;
  std::string unknown_fields = "refuse";

  std::string cluster_address = "127.0.0.1:0";
  std::string coordinator;
  std::string listen;
  std::string cluster_tls;
  std::string workers = "local";
  std::vector<HostSlots> hosts;
  double worker_timeout = 600;    // seconds
  double recovery_timeout = 300;  // seconds
  FailureLimit recovery_limit;
  double collective_timeout = 60;      // seconds
  double load_progress_timeout = 300;  // seconds
  double slow_rank_timeout = 0;        // seconds
  double slow_rank_cooldown = 1800;    // seconds
  double coordinator_wait = 600;       // seconds
  bool stop_workers = true;

  int32_t threads = 0;
  bool bind_threads = true;
  int32_t card = -1;
  bool decode_graphs = false;
  bool unverified_kernels = false;
  std::string packed;
  std::string packed_check = "header";

  std::string log_level = "warn";

  // ep = 0 is resolved to tp * dp.
  model::Layout layout() const { return {.tp = tp, .dp = dp, .ep = ep > 0 ? ep : tp * dp, .pp = pp}; }

  // http_threads = 0 is resolved by the number of processors.
  int32_t http_threads_on(int32_t processors) const {
    return http_threads > 0 ? http_threads : std::clamp(processors / 8, 2, 16);
  }

  bool operator==(const Settings&) const = default;
};

// The defaults of a program. They are those of Settings, but for log_level: coordinator and worker log more
// when they are started by hand.
Settings DefaultsOf(Program program);

}  // namespace deeprack
