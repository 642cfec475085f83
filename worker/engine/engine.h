// One rank of the model: weights, KV cache, decoder and sampler. Execute runs a step.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/dtype.h"
#include "constraint/vocabulary.h"
#include "model/config/model_config.h"
#include "model/files/load_format.h"
#include "model/layout/expert_exchange.h"
#include "model/layout/layout.h"
#include "model/step/prefill_attention.h"
#include "model/step/step_limits.h"
#include "model/step/step_result.h"
#include "worker/collectives/communicator.h"
#include "worker/device/device.h"
#include "worker/engine/logits_observer.h"
#include "worker/sequences/group_step.h"
#include "worker/weights/packed_options.h"

namespace deeprack::worker {

struct EngineOptions {
  std::string model_path;                                    // a Hugging Face folder or a GGUF file
  model::LoadFormat load_format = model::LoadFormat::kAuto;  // kDummy: only config.json is read
  model::Layout layout;
  Rank rank = 0;
  Epoch epoch = 0;
  DType compute = DType::kBF16;        // activations: kBF16 or kF32
  std::optional<DType> kv_cache = {};  // kBF16, kF32 or kF8E4M3; nullopt: as `compute`
  model::ExpertExchange expert_exchange = model::ExpertExchange::kReplicated;
  model::PrefillAttention prefill_attention = model::PrefillAttention::kExpanded;
  // The most drafts for a sequence in a step, 0 to kMostSpeculativeTokens. A rank of a checkpoint without a
  // usable MTP layer loads with 0.
  int32_t speculative_tokens = 0;
  int64_t kv_bytes = 0;  // size of the KV cache; 0: a share of the device's free memory
  int32_t max_step_tokens = model::kDefaultMaxStepTokens;
  int32_t max_sequences = model::kDefaultMaxSequences;
  int32_t max_context = 0;  // 0: max_position_embeddings
  int threads = 1;          // host threads of the rank
  PackedOptions packed;     // a setting of the worker's machine
  // Runs decode steps from recordings, if the device records and the ranks, if there are several, exchange
  // through each other's memory alone (Seams::most_recorded_rows). Off until `make gpu-check` has passed on a
  // card.
  bool decode_graphs = false;
  // What masks of constraints are made with; null: no sequence has a constraint. The engine itself does not
  // use it.
  std::shared_ptr<const constraint::Vocabulary> vocabulary = nullptr;

  DType kv_cache_type() const { return kv_cache.value_or(compute); }
  bool operator==(const EngineOptions&) const = default;
};

// Memory that loading took, in bytes; kv_blocks pages of kPageTokens tokens are ready for use.
struct EngineMemory {
  int32_t kv_blocks = 0;
  int64_t weight_bytes = 0;
  int64_t kv_bytes = 0;
  int64_t workspace_bytes = 0;     // all memory except weights and pages
  int32_t speculative_tokens = 0;  // as options.speculative_tokens; 0 without a usable MTP layer
};

struct ExecutedStep {
  model::RankResult result;
  StepOutcomes outcomes;
};

class Engine {
 public:
  using Progress = std::function<void(int64_t bytes_done, int64_t bytes_total)>;

  // Reads this rank's slices of the checkpoint and takes all memory that the rank will ever need, on
  // `device`. `world` exchanges that device's memory and has layout.world_size() members; this rank is member
  // `rank`. `world` may be null if the layout has one rank. `world` is split into the groups of the layout,
  // so all ranks call Create together; the rest of the load exchanges nothing with other ranks. `observer`,
  // which may be null, outlives the engine. Errors: NotFound, InvalidArgument, DataLoss (a damaged
  // checkpoint), ResourceExhausted (the memory does not suffice; the message has the numbers),
  // FailedPrecondition (another rank cannot load).
  static absl::StatusOr<std::unique_ptr<Engine>> Create(const EngineOptions& options,
                                                        std::shared_ptr<Device> device, Communicator* world,
                                                        const Progress& progress,
                                                        LogitsObserver* observer = nullptr);
  // On the CPU, with options.threads.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(const EngineOptions& options, Communicator* world,
                                                        const Progress& progress,
                                                        LogitsObserver* observer = nullptr);
  virtual ~Engine() = default;

  // True when Create would make an equal engine of `options`: the same rank of the same model, whose files
  // have not changed, in the same layout with the same limits. Ignores the epoch, and the worker's own
  // options (packed, decode_graphs) and the vocabulary.
  virtual bool Suits(const EngineOptions& options) const = 0;

  // Enters a new world under a later epoch, and keeps the weights in memory. The content of the KV cache is
  // lost; memory() has the new number of pages, at most the old one. Collective: some ranks may call Create
  // and others Rejoin. The old world may be broken, and must live until Rejoin returns. (A broken MPI world
  // cannot be made again, so MPI ranks cannot rejoin.) After an error only Rejoin and the destructor may be
  // called. Errors: FailedPrecondition (not a later epoch; another rank cannot load), InvalidArgument
  // (another size of world), and those of the communicator.
  virtual absl::Status Rejoin(Epoch epoch, Communicator* world) = 0;

  // Runs one step. Collective: every rank gets the step of its dp group. The step must be within the model,
  // the limits and the pages, as the steps of a SequenceTable are. A row of logits that is not finite has no
  // token (SequenceResult::non_finite); the other rows have theirs. Errors: FailedPrecondition (another
  // epoch), Aborted or DeadlineExceeded (a peer was lost; the epoch is over).
  virtual absl::StatusOr<ExecutedStep> Execute(const GroupStep& step) = 0;

  virtual const EngineMemory& memory() const = 0;
  virtual const model::ModelConfig& config() const = 0;
  virtual const model::StepLimits& limits() const = 0;
};

}  // namespace deeprack::worker
