// One rank of the model: weights, cache, decoder and sampler, and the one verb that drives them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/dtype.h"
#include "model/config/model_config.h"
#include "model/files/load_format.h"
#include "model/layout/expert_exchange.h"
#include "model/layout/layout.h"
#include "model/step/prefill_attention.h"
#include "model/step/step_limits.h"
#include "model/step/step_plan.h"
#include "model/step/step_result.h"
#include "worker/collectives/communicator.h"
#include "worker/device/device.h"
#include "worker/engine/logits_observer.h"
#include "worker/weights/packed_options.h"

namespace deeprack::worker {

struct EngineOptions {
  std::string model_path;                                    // a Hugging Face folder or a GGUF
  model::LoadFormat load_format = model::LoadFormat::kAuto;  // kDummy: config.json is all that is read
  model::Layout layout;
  Rank rank = 0;
  Epoch epoch = 0;
  DType compute = DType::kBF16;        // activations: kBF16 or kF32
  std::optional<DType> kv_cache = {};  // kBF16, kF32 or kF8E4M3; without a value: as `compute`
  model::ExpertExchange expert_exchange = model::ExpertExchange::kReplicated;
  model::PrefillAttention prefill_attention = model::PrefillAttention::kExpanded;
  int64_t kv_bytes = 0;  // 0: a share of the device's free memory
  int32_t max_step_tokens = model::kDefaultMaxStepTokens;
  int32_t max_sequences = model::kDefaultMaxSequences;
  int32_t max_context = 0;  // 0: max_position_embeddings
  int threads = 1;          // of the host
  PackedOptions packed;     // of the machine
  // Decode steps run from recordings, where the device records and ranks, if there are several, meet in each
  // other's memory alone (Seams::most_recorded_rows).
  // Off until `make gpu-check` has passed with them on a card.
  bool decode_graphs = false;

  DType kv_cache_type() const { return kv_cache.value_or(compute); }
  bool operator==(const EngineOptions&) const = default;
};

// What loading took; kv_blocks pages of kPageTokens tokens are ready for use.
struct EngineMemory {
  int32_t kv_blocks = 0;
  int64_t weight_bytes = 0;
  int64_t kv_bytes = 0;
  int64_t workspace_bytes = 0;  // and what a step brings and takes back
};

class Engine {
 public:
  using Progress = std::function<void(int64_t bytes_done, int64_t bytes_total)>;

  // Reads this rank's slices of the checkpoint and takes all memory it will ever need, on `device`. `world`
  // exchanges that device's memory, has layout.world_size() members, this one at `rank`, and may be null if
  // that is 1. It is split into the groups of the layout (collective: all ranks create their engines
  // together; after that, loading meets nobody). `observer`, which may be null, outlives the engine. Errors:
  // NotFound, InvalidArgument, DataLoss (a damaged checkpoint), ResourceExhausted (the memory does not
  // suffice, with the numbers), FailedPrecondition (another rank cannot load).
  static absl::StatusOr<std::unique_ptr<Engine>> Create(const EngineOptions& options,
                                                        std::shared_ptr<Device> device, Communicator* world,
                                                        const Progress& progress,
                                                        LogitsObserver* observer = nullptr);
  // On the CPU, with options.threads.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(const EngineOptions& options, Communicator* world,
                                                        const Progress& progress,
                                                        LogitsObserver* observer = nullptr);
  virtual ~Engine() = default;

  // Whether this engine would be what Create makes of `options`, but for the epoch and for what is the
  // worker's own (packed, decode_graphs): the same rank of the same model, whose files nobody has touched
  // since, in the same layout with the same limits.
  virtual bool Suits(const EngineOptions& options) const = 0;

  // Meets a new world under a later epoch with the memory that the engine has: weights are not read again.
  // For worlds that are made anew: an MPI world that broke is broken for good, and with it every later one.
  // What the cache held is forgotten; memory() says how many pages were agreed on, at most as many as before.
  // Collective like Create, some ranks may call that and others this. The old world may be broken; it goes
  // no sooner than this returns. After an error the engine can only be tried again or be destroyed. Errors:
  // FailedPrecondition (not a later epoch; another rank cannot load), InvalidArgument (another size of
  // world), and the communicator's.
  virtual absl::Status Rejoin(Epoch epoch, Communicator* world) = 0;

  // Runs one step. Collective: every rank is given the same plan. The plan is checked first (epoch, ids
  // within the vocabulary, block tables within the cache, limits): InvalidArgument changes nothing.
  // FailedPrecondition: a stale epoch. Aborted or DeadlineExceeded: a peer was lost, and this epoch is over.
  virtual absl::StatusOr<model::StepResult> Execute(const model::StepPlan& plan) = 0;

  virtual const EngineMemory& memory() const = 0;
  virtual const model::ModelConfig& config() const = 0;
};

}  // namespace deeprack::worker
