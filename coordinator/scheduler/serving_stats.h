// Totals and gauges for /metrics, as a snapshot.
#pragma once

#include <cstdint>
#include <vector>

#include "model/step/step_result.h"

namespace deeprack::coordinator {

struct ServingStats {
  int64_t running = 0, waiting = 0;
  int64_t blocks_used = 0, blocks_total = 0;
  int64_t prefix_cache_queries = 0, prefix_cache_hits = 0;  // tokens
  int64_t prompt_tokens = 0, generation_tokens = 0;
  int64_t preemptions = 0;
  int64_t steps = 0;
  std::vector<model::StepTimings> ranks;  // entry r: the sums over rank r's steps
};

}  // namespace deeprack::coordinator
