#include "worker/engine/engine_parts.h"

#include <spdlog/spdlog.h>

#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "worker/decoder/rope_table.h"
#include "worker/weights/packed_weights.h"
#include "worker/weights/weight_tables.h"

namespace deeprack::worker {
namespace {

// Fills the constant buffers: no step writes them.
absl::Status FillConstants(const model::ModelConfig& config, int64_t max_context, Device& device,
                           const Workspace& workspace) {
  const size_t angles = static_cast<size_t>(max_context * (config.qk_rope_head_dim / 2));
  std::vector<float> cos(angles);
  std::vector<float> sin(angles);
  FillRopeTable(config, max_context, cos.data(), sin.data());
  const std::vector<float> ones(static_cast<size_t>(workspace.returned.rows), 1.0f);
  const auto copy = [&](float* to, const std::vector<float>& from) {
    return device.CopyIn(to, from.data(), static_cast<int64_t>(from.size() * sizeof(float)));
  };
  DR_RETURN_IF_ERROR(copy(workspace.rope_cos, cos));
  DR_RETURN_IF_ERROR(copy(workspace.rope_sin, sin));
  DR_RETURN_IF_ERROR(copy(workspace.dispatch_ones, ones));
  return device.Synchronize();
}

absl::StatusOr<kernels::Scratch> CutScratch(const sizing::RankFootprint& bytes, Arena& arena) {
  DR_ASSIGN_OR_RETURN(std::byte * data, arena.Allocate(bytes.scratch_data));
  DR_ASSIGN_OR_RETURN(std::byte * counters, arena.Allocate(bytes.scratch_counters));
  return kernels::Scratch{.counters = counters,
                          .counter_bytes = bytes.scratch_counters,
                          .data = data,
                          .data_bytes = bytes.scratch_data};
}

// Makes this rank's peer area. Without an area the ranks exchange through the communicator, which is not an
// error.
std::optional<PeerArea> MakePeerArea(const PeerPlaces& places, Device& device) {
  if (places.places == 0) return std::nullopt;
  auto area = PeerArea::Create(device, places);
  if (area.ok()) return *std::move(area);
  spdlog::warn("ranks do not use each other's memory: {}", std::string(area.status().message()));
  return std::nullopt;
}

}  // namespace

absl::StatusOr<EngineParts> MakeParts(const Preparation& preparation, int64_t blocks, Device& device,
                                      Communicator* world, const Engine::Progress& progress) {
  const EngineOptions& options = preparation.options;
  const sizing::RankSpec& spec = preparation.spec;
  const sizing::RankFootprint& bytes = preparation.bytes;
  if (options.load_format == model::LoadFormat::kDummy) {
    spdlog::warn("the weights are dummies (load format dummy): what this rank computes is noise");
  }
  PeerAreas peer_areas = {.sums = MakePeerArea(bytes.peers.sums, device),
                          .exchanges = MakePeerArea(bytes.peers.exchanges, device)};
  DR_ASSIGN_OR_RETURN(std::unique_ptr<Seams> seams,
                      Seams::Create(spec.layout, spec.rank, world, &device, &peer_areas));
  const RankWeights source = {.spec = spec, .manifest = preparation.manifest, .reader = *preparation.reader};
  DR_ASSIGN_OR_RETURN(LoadedWeights weights, LoadPackedWeights(source, options.packed, device, progress));
  DR_ASSIGN_OR_RETURN(Arena tables, PlaceWeightTables(device, bytes.weight_tables, weights.weights));
  DR_ASSIGN_OR_RETURN(KvCache cache, KvCache::Create(device, spec, blocks));
  DR_ASSIGN_OR_RETURN(Arena arena, Arena::Create(device, "workspace", bytes.workspace));
  DR_ASSIGN_OR_RETURN(std::byte * base, arena.Allocate(bytes.workspace));
  const Workspace workspace = CarveWorkspace(spec, device.kernels(), base);
  DR_RETURN_IF_ERROR(FillConstants(spec.config, spec.limits.max_context, device, workspace));
  DR_ASSIGN_OR_RETURN(Arena scratch_arena,
                      Arena::Create(device, "scratch memory of the kernels", bytes.scratch()));
  DR_ASSIGN_OR_RETURN(const kernels::Scratch scratch, CutScratch(bytes, scratch_arena));
  DR_ASSIGN_OR_RETURN(StepMemory step, StepMemory::Create(device, bytes.step));
  return EngineParts{.peer_areas = std::move(peer_areas),
                     .seams = std::move(seams),
                     .weights = std::move(weights),
                     .weight_tables = std::move(tables),
                     .cache = std::move(cache),
                     .workspace_arena = std::move(arena),
                     .workspace = workspace,
                     .scratch_arena = std::move(scratch_arena),
                     .scratch = scratch,
                     .step = std::move(step)};
}

}  // namespace deeprack::worker
