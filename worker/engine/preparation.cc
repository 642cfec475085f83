#include "worker/engine/preparation.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/checked.h"
#include "base/status_macros.h"
#include "checkpoint/check/checkpoint_check.h"
#include "model/budget/kv_cache_type.h"
#include "model/budget/packed_tensors.h"
#include "model/files/model_files.h"
#include "model/layout/layout.h"
#include "worker/device/arena.h"
#include "worker/engine/kernel_check.h"
#include "worker/engine/step_bounds.h"
#include "worker/engine/step_memory.h"
#include "worker/weights/packed_identity.h"
#include "worker/weights/weight_loader.h"
#include "worker/weights/weight_tables.h"

namespace deeprack::worker {
namespace {

absl::Status CheckOptions(const EngineOptions& options, const model::ModelConfig& config) {
  if (options.compute != DType::kBF16 && options.compute != DType::kF32) {
    return absl::InvalidArgumentError(
        absl::StrCat("compute type ", std::string(Name(options.compute)), ": BF16 and F32 are possible"));
  }
  DR_RETURN_IF_ERROR(model::CheckKvCacheType(config, options.kv_cache_type()));
  if (options.max_step_tokens < 1 || options.max_sequences < 1 || options.threads < 1 ||
      options.kv_bytes < 0 || options.max_context < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_step_tokens ", options.max_step_tokens, ", max_sequences ", options.max_sequences,
                     ", threads ", options.threads, " must be at least 1, kv_bytes ", options.kv_bytes,
                     " and max_context ", options.max_context, " at least 0"));
  }
  if (options.max_context > config.max_position_embeddings) {
    return absl::InvalidArgumentError(absl::StrCat("max_context ", options.max_context,
                                                   " is beyond the model's ", config.max_position_embeddings,
                                                   " positions"));
  }
  if (options.load_format == model::LoadFormat::kDummy && !options.packed.folder.empty()) {
    return absl::InvalidArgumentError(
        "dummy weights are not packed: they would take a checkpoint's place in " + options.packed.folder);
  }
  DR_RETURN_IF_ERROR(model::ValidateLayout(config, options.layout));
  if (options.rank < 0 || options.rank >= options.layout.world_size()) {
    return absl::InvalidArgumentError(absl::StrCat("rank ", options.rank, " of the ",
                                                   options.layout.world_size(), " of layout ",
                                                   ToString(options.layout)));
  }
  return absl::OkStatus();
}

kernels::ScratchBytes ScratchOf(const EngineOptions& options, const Preparation& preparation,
                                const model::TensorTypes& types, const RowMajorTypes& row_major,
                                const Device& device) {
  const kernels::KernelSet& kernels = device.kernels();
  if (kernels.scratch_bytes == nullptr) return {};
  const model::WorkspaceSpec spec = WorkspaceSpecOf(options, preparation);
  const kernels::MlaShape attention =
      preparation.planner.ShapeOf(spec.limits.max_step_tokens, spec.limits.max_sequences, 1);
  return kernels.scratch_bytes(StepBoundsOf(
      spec, model::PackedTensorsOf(spec.config, spec.layout, spec.rank, spec.compute, types, row_major),
      attention, preparation.planner.expanded(), device.execution().multiprocessors));
}

TravellingRows RowsToExperts(const EngineOptions& options, const Preparation& preparation,
                             const model::TensorTypes& types, const RowMajorTypes& row_major,
                             const kernels::KernelSet& kernels) {
  if (options.expert_exchange != model::ExpertExchange::kAllToAll) return {};
  const model::ModelConfig& config = preparation.config;
  for (const model::PackedTensor& tensor :
       model::PackedTensorsOf(config, options.layout, options.rank, options.compute, types, row_major)) {
    if (tensor.kind != model::TensorKind::kExpertGate) continue;
    return TravellingRowsTo(
        {.type = tensor.type, .n = tensor.rows, .k = tensor.cols, .layout = tensor.layout}, config,
        options.compute, kernels);
  }
  return {};
}

}  // namespace

int64_t ScratchDataBytes(const Preparation& preparation) {
  return RoundUp(preparation.scratch.data, kArenaAlignment);
}

int64_t ScratchArenaBytes(const Preparation& preparation) {
  return ScratchDataBytes(preparation) + RoundUp(preparation.scratch.counters, kArenaAlignment);
}

model::WorkspaceSpec WorkspaceSpecOf(const EngineOptions& options, const Preparation& preparation) {
  return {.config = preparation.config,
          .layout = options.layout,
          .rank = options.rank,
          .compute = options.compute,
          .expert_exchange = options.expert_exchange,
          .limits = preparation.limits,
          .rounded_rows = preparation.rounded_rows};
}

absl::Status Prepare(const EngineOptions& options, const Device& device, Preparation& preparation) {
  DR_ASSIGN_OR_RETURN(preparation.config, model::LoadModelConfig(options.model_path));
  const model::ModelConfig& config = preparation.config;
  DR_RETURN_IF_ERROR(CheckOptions(options, config));
  DR_RETURN_IF_ERROR(CheckKernels(config, device.kernels()));
  DR_ASSIGN_OR_RETURN(preparation.reader,
                      checkpoint::CheckpointReader::Open(options.model_path, config, options.load_format));
  DR_RETURN_IF_ERROR(checkpoint::CheckCheckpoint(config, *preparation.reader).status());
  DR_ASSIGN_OR_RETURN(preparation.files, DigestOfCheckpoint(*preparation.reader));
  DR_ASSIGN_OR_RETURN(const model::TensorTypes types, KeptTypes(config, *preparation.reader, device));

  preparation.limits = {
      .max_step_tokens = options.max_step_tokens,
      .max_sequences = options.max_sequences,
      .max_context = options.max_context == 0 ? config.max_position_embeddings : options.max_context};
  preparation.rounded_rows = device.kernels().reads_rounded != nullptr;
  preparation.workspace_bytes = model::WorkspaceBytes(WorkspaceSpecOf(options, preparation));
  preparation.planner = AttentionPlanner(device.kernels(), {.config = config,
                                                            .layout = options.layout,
                                                            .prefill = options.prefill_attention,
                                                            .compute = options.compute,
                                                            .cache_type = options.kv_cache_type(),
                                                            .limits = preparation.limits});
  preparation.step_bytes = StepMemoryBytes(preparation.limits, config.vocab_size, preparation.planner);
  preparation.table_bytes = WeightTableBytes(device, config, options.layout, options.rank);
  preparation.peers = PeerNeedsOf(WorkspaceSpecOf(options, preparation), device.kernels());
  const RowMajorTypes row_major = WantedRowMajor(config, *preparation.reader, device);
  preparation.scratch = ScratchOf(options, preparation, types, row_major, device);
  preparation.travelling_rows = RowsToExperts(options, preparation, types, row_major, device.kernels());
  preparation.memory = {
      .host = device.memory_identity(),
      .available_bytes = device.AvailableBytes(),
      .fixed_bytes =
          model::WeightBytes(config, options.layout, options.rank, options.compute, types, row_major) +
          preparation.table_bytes + preparation.workspace_bytes + preparation.step_bytes +
          ScratchArenaBytes(preparation) + preparation.peers.bytes(),
      .page_bytes = model::KvPageBytes(config, options.layout, options.rank, options.kv_cache_type()),
      .kv_bytes = options.kv_bytes};
  return absl::OkStatus();
}

}  // namespace deeprack::worker
