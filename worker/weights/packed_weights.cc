#include "worker/weights/packed_weights.h"

#include <algorithm>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/status_macros.h"
#include "sizing/packed_tensors.h"
#include "sizing/weight_forms.h"
#include "spdlog/spdlog.h"
#include "worker/weights/packed_file.h"
#include "worker/weights/packed_identity.h"
#include "worker/weights/stage_assembly.h"

namespace deeprack::worker {
namespace {

// Copied between two progress reports.
constexpr int64_t kRunBytes = int64_t{256} << 20;

absl::StatusOr<PackedFile> OpenChecked(const std::string& path, const PackedIdentity& identity, int64_t bytes,
                                       bool full_check, Device& device) {
  DR_ASSIGN_OR_RETURN(PackedFile file, PackedFile::Open(path, identity, bytes));
  if (full_check) DR_RETURN_IF_ERROR(file.Verify(*device.execution().pool));
  return file;
}

// The file's data as memory of the device.
absl::StatusOr<Arena> ArenaOf(PackedFile file, Device& device, const LoadProgress& progress) {
  const std::span<const std::byte> data = file.data();
  const int64_t bytes = std::ssize(data);
  if (device.shares_host_memory()) {
    if (progress) progress(bytes, bytes);
    return Arena::Over("weights", std::move(file).TakeData());
  }
  DR_ASSIGN_OR_RETURN(Arena arena, Arena::Create(device, "weights", bytes));
  for (int64_t begin = 0; begin < bytes; begin += kRunBytes) {
    const int64_t run = std::min(kRunBytes, bytes - begin);
    DR_RETURN_IF_ERROR(device.CopyIn(arena.data() + begin, data.data() + begin, run));
    DR_RETURN_IF_ERROR(device.Synchronize());
    if (progress) progress(begin + run, bytes);
  }
  return arena;
}

}  // namespace

absl::StatusOr<LoadedWeights> LoadPackedWeights(const model::ModelConfig& config, const model::Layout& layout,
                                                Rank rank, DType compute,
                                                const checkpoint::CheckpointReader& reader,
                                                const PackedOptions& packed, Device& device,
                                                const LoadProgress& progress) {
  if (packed.folder.empty()) return LoadWeights(config, layout, rank, compute, reader, device, progress);

  DR_ASSIGN_OR_RETURN(const sizing::WeightForms forms,
                      sizing::WeightFormsOf(config, reader, device.kernels()));
  const std::vector<sizing::PackedTensor> tensors =
      sizing::PackedTensorsOf(config, layout, rank, compute, forms.types, forms.row_major);
  const int64_t bytes = sizing::WeightBytes(config, layout, rank, compute, forms.types, forms.row_major);
  DR_ASSIGN_OR_RETURN(const PackedIdentity identity, IdentityOf(layout, rank, compute, tensors, reader));
  const std::string path =
      (std::filesystem::path(packed.folder) / PackedFileName(reader.folder(), layout, rank, compute))
          .string();

  absl::StatusOr<PackedFile> file = OpenChecked(path, identity, bytes, packed.full_check, device);
  if (file.ok()) {
    DR_ASSIGN_OR_RETURN(Arena arena, ArenaOf(*std::move(file), device, progress));
    StageWeights weights;
    const int64_t first_layer =
        model::LayersOfStage(config, layout, model::CoordinatesOf(layout, rank).pp_rank).first;
    for (const sizing::PackedTensor& tensor : tensors) {
      DR_ASSIGN_OR_RETURN(const std::byte* memory, arena.Allocate(tensor.bytes()));
      PlaceTensor(config, tensor, memory, first_layer, weights);
    }
    DR_CHECK(arena.used() == arena.capacity());
    spdlog::info("{} bytes of packed weights from {}", bytes, path);
    return LoadedWeights{.arena = std::move(arena), .weights = std::move(weights)};
  }

  if (absl::IsNotFound(file.status())) {
    spdlog::info("{}: not there yet; it will be packed from {}", path, reader.folder());
  } else {
    spdlog::warn("{}; it will be packed again from {}", std::string(file.status().message()),
                 reader.folder());
  }
  DR_ASSIGN_OR_RETURN(LoadedWeights loaded,
                      LoadWeights(config, layout, rank, compute, reader, device, progress));
  const absl::Status written = WritePackedFile(path, identity, loaded.arena.data(), bytes, device);
  if (packed.full_check) {
    DR_RETURN_IF_ERROR(written);
    DR_RETURN_IF_ERROR(OpenChecked(path, identity, bytes, /*full_check=*/true, device).status());
  }
  if (written.ok()) {
    spdlog::info("packed {} bytes of weights to {}", bytes, path);
  } else {
    spdlog::warn("{}; the next start will load from {} again", std::string(written.message()),
                 reader.folder());
  }
  return loaded;
}

}  // namespace deeprack::worker
