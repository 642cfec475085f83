#include "worker/engine/preparation.h"

#include <spdlog/spdlog.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "checkpoint/check/checkpoint_check.h"
#include "model/config/kv_cache_type.h"
#include "model/files/model_files.h"
#include "model/layout/layout.h"
#include "model/step/speculation.h"
#include "sizing/kv_pages.h"
#include "worker/engine/kernel_check.h"
#include "worker/weights/packed_identity.h"

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
        "dummy weights are not packed: they would take a checkpoint's place in " + options.packed.folder +
        ". Start this worker without --packed");
  }
  if (options.speculative_tokens < 0 || options.speculative_tokens > model::kMostSpeculativeTokens) {
    return absl::InvalidArgumentError(absl::StrCat("speculative_tokens ", options.speculative_tokens,
                                                   ": 0 to ", model::kMostSpeculativeTokens,
                                                   " are possible"));
  }
  DR_RETURN_IF_ERROR(model::ValidateLayout(config, options.layout));
  if (options.rank < 0 || options.rank >= options.layout.world_size()) {
    return absl::InvalidArgumentError(absl::StrCat("rank ", options.rank, " of the ",
                                                   options.layout.world_size(), " of layout ",
                                                   ToString(options.layout)));
  }
  return absl::OkStatus();
}

// Returns one entry for each layer with experts.
std::vector<DispatchRowForm> RowsOfLayers(const sizing::RankSpec& spec,
                                          const sizing::WeightManifest& manifest,
                                          const kernels::KernelSet& kernels) {
  std::vector<DispatchRowForm> rows;
  if (spec.expert_exchange != model::ExpertExchange::kAllToAll) return rows;
  const int64_t experts = spec.config.n_routed_experts / spec.layout.ep;
  for (const sizing::PackedTensor& tensor : manifest.tensors) {
    if (tensor.kind != model::TensorKind::kExpertGate) continue;
    rows.push_back(
        DispatchRowFormOf({.type = tensor.type, .n = tensor.rows, .k = tensor.cols, .layout = tensor.layout},
                          experts, spec.config, spec.compute, kernels));
  }
  return rows;
}

Digest FormOf(const std::vector<DispatchRowForm>& layers) {
  DigestOfValues form;
  for (const DispatchRowForm& rows : layers) {
    form.Add(static_cast<int64_t>(rows.type));
    form.Add(rows.bytes);
  }
  return form.Finish();
}

// The drafts that the checkpoint allows. Rank 0 says why they are fewer than requested.
int32_t SpeculativeTokensOf(const EngineOptions& options, const sizing::WeightForms& forms) {
  if (options.speculative_tokens == 0 || forms.why_no_mtp.empty()) return options.speculative_tokens;
  if (options.rank == 0) spdlog::warn("served without speculation: {}", forms.why_no_mtp);
  return 0;
}

sizing::RankSpec RankSpecOf(const EngineOptions& options, model::ModelConfig config) {
  const int64_t max_context = options.max_context == 0 ? config.max_position_embeddings : options.max_context;
  return {.config = std::move(config),
          .layout = options.layout,
          .rank = options.rank,
          .compute = options.compute,
          .cache_type = options.kv_cache_type(),
          .expert_exchange = options.expert_exchange,
          .prefill_attention = options.prefill_attention,
          .limits = {.max_step_tokens = options.max_step_tokens,
                     .max_sequences = options.max_sequences,
                     .max_context = max_context}};
}

}  // namespace

absl::StatusOr<Preparation> Prepare(const EngineOptions& options, const Device& device) {
  const kernels::KernelSet& kernels = device.kernels();
  Preparation preparation = {.options = options};
  DR_ASSIGN_OR_RETURN(model::ModelConfig config, model::LoadModelConfig(options.model_path));
  DR_RETURN_IF_ERROR(CheckOptions(options, config));
  DR_RETURN_IF_ERROR(CheckKernels(config, kernels));
  preparation.spec = RankSpecOf(options, std::move(config));
  sizing::RankSpec& spec = preparation.spec;
  DR_ASSIGN_OR_RETURN(preparation.reader, checkpoint::CheckpointReader::Open(options.model_path, spec.config,
                                                                             options.load_format));
  DR_RETURN_IF_ERROR(checkpoint::CheckCheckpoint(spec.config, *preparation.reader).status());
  DR_ASSIGN_OR_RETURN(preparation.files, DigestOfCheckpoint(*preparation.reader));
  DR_ASSIGN_OR_RETURN(const Digest headers, DigestOfHeaders(*preparation.reader));
  DR_ASSIGN_OR_RETURN(const sizing::WeightForms forms,
                      sizing::WeightFormsOf(spec.config, *preparation.reader, kernels));
  spec.speculative_tokens = SpeculativeTokensOf(options, forms);
  preparation.manifest = sizing::ManifestOf(spec, forms);
  preparation.bytes = sizing::RankFootprintOf(spec, preparation.manifest,
                                              {.kernels = kernels,
                                               .multiprocessors = device.execution().multiprocessors,
                                               .shares_host_memory = device.shares_host_memory()});
  preparation.planner = AttentionPlanner(kernels, spec);
  const std::vector<DispatchRowForm> rows = RowsOfLayers(spec, preparation.manifest, kernels);
  if (!rows.empty()) preparation.dispatch_row_form = rows.front();
  preparation.needs = {.memory = {.host = device.memory_identity(),
                                  .available_bytes = device.AvailableBytes(),
                                  .fixed_bytes = preparation.bytes.fixed(),
                                  .page_bytes = preparation.bytes.page,
                                  .kv_bytes = options.kv_bytes},
                       .parts = {.weights = preparation.bytes.weights,
                                 .others = preparation.bytes.fixed() - preparation.bytes.weights},
                       .files = headers,
                       .most_blocks = sizing::MostBlocks(spec.limits),
                       .rows = {.stage = spec.coordinates().pp_rank, .form = FormOf(rows)}};
  return preparation;
}

}  // namespace deeprack::worker
