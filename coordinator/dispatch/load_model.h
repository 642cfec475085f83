// Has every rank load its share of the model.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/dtype.h"
#include "base/ids.h"
#include "coordinator/dispatch/worker_pool.h"
#include "model/layout/layout.h"
#include "settings/settings.h"

namespace deeprack::coordinator {

// The tokens of the model, for constraints.
struct TokenTable {
  std::vector<std::string> texts;  // as constraint::Vocabulary::Make takes them
  std::vector<TokenId> end_tokens;
  int32_t vocab_size = 0;
};

// The defaults equal the defaults of the settings.
struct LoadOptions {
  Epoch epoch = 1;
  model::Layout layout;
  std::string model_path;                                        // the path on the workers' machines
  DType compute = DType::kBF16;                                  // kBF16 or kF32
  std::string load_format = Settings().load_format;              // a name for model::LoadFormatOf
  std::string kv_cache_type = Settings().kv_cache_dtype;         // a name for model::KvCacheTypeOf
  std::string expert_exchange = Settings().expert_exchange;      // replicated or all_to_all
  std::string prefill_attention = Settings().prefill_attention;  // expanded or absorbed
  int32_t speculative_tokens = model::SpeculativeTokensOf(Settings().speculative_tokens);
  int64_t kv_bytes = Settings().kv_bytes;  // per rank; 0: the worker chooses from its free memory
  int32_t max_step_tokens = Settings().max_step_tokens;  // per dp group
  int32_t max_context = Settings().max_context;          // 0: the model's limit
  int32_t max_sequences = Settings().max_sequences;      // per dp group
  int32_t threads = Settings().threads;  // per rank; 0: the worker's share of its host's cores
  // What the ranks make masks of constraints with. Null: no sequence has a constraint. Not part of DigestOfLoad.
  std::shared_ptr<const TokenTable> tokens;
  bool over_nccl = false;                // ranks meet over NCCL, in a world that rank 0 opens
  bool over_gloo = false;                // ranks meet over gloo, in a world that all ranks open together
  absl::Duration collective_timeout = absl::Seconds(Settings().collective_timeout);
  // The longest time between two reports of a rank's progress. A rank reports every piece that it reads, so
  // the time limits one piece and not the load.
  absl::Duration progress_timeout = absl::Seconds(Settings().load_progress_timeout);
};

// The memory of one rank after the load.
struct LoadedRank {
  int32_t kv_blocks = 0;
  int64_t weight_bytes = 0;
  int64_t kv_bytes = 0;
  int64_t workspace_bytes = 0;
};

struct LoadedModel {
  int32_t kv_blocks = 0;           // pages that every rank has: the least of all ranks
  int32_t speculative_tokens = 0;  // drafts that every rank can make: the least of all ranks
  std::vector<LoadedRank> ranks;
};

// Callbacks of a load. Both are optional.
struct LoadEvents {
  // Bytes over all ranks. bytes_total grows until every rank has reported. Called from other threads, one
  // call at a time, a few times a second.
  std::function<void(int64_t bytes_done, int64_t bytes_total)> progress;
  // These ranks have made no progress for LoadOptions::progress_timeout, and are lost to this pool. why[r] is
  // the reason for rank r. Called on LoadModel's thread before LoadModel returns, with all such ranks at
  // once.
  std::function<void(const std::map<Rank, std::string>& why)> stalled;
};

// Names the options of a load. Loads that differ only in epoch, world and timeouts have the same text. In the
// later one of two such loads, each rank still has its weights, unless the model's files have changed.
std::string DigestOfLoad(const LoadOptions& options);

// Blocks until all ranks are done. An error has the code and the message of the rank nearest to the cause,
// and the name of that rank. Unavailable: a rank was lost, or its load stalled; both end the load at once.
absl::StatusOr<LoadedModel> LoadModel(WorkerPool* pool, const LoadOptions& options, Clock* clock,
                                      const LoadEvents& events);

}  // namespace deeprack::coordinator
