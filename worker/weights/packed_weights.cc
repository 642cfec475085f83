#include "worker/weights/packed_weights.h"

#include <algorithm>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

#include "base/status_macros.h"
#include "spdlog/spdlog.h"
#include "worker/weights/packed_file.h"
#include "worker/weights/packed_identity.h"
#include "worker/weights/stage_assembly.h"

namespace deeprack::worker {
namespace {

// Bytes copied between two progress reports.
constexpr int64_t kRunBytes = int64_t{256} << 20;

absl::StatusOr<PackedFile> OpenVerified(const std::string& path, const PackedIdentity& identity,
                                        int64_t bytes, kernels::ThreadPool& pool,
                                        const LoadProgress& progress) {
  DR_ASSIGN_OR_RETURN(PackedFile file, PackedFile::Open(path, identity, bytes));
  DR_RETURN_IF_ERROR(file.Verify(pool, progress));
  return file;
}

// The file's data in device memory.
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

absl::StatusOr<LoadedWeights> LoadPackedWeights(const RankWeights& source, const PackedOptions& packed,
                                                Device& device, const LoadProgress& progress) {
  if (packed.folder.empty()) return LoadWeights(source, device, progress);

  const int64_t bytes = source.manifest.bytes;
  const checkpoint::CheckpointReader& reader = source.reader;
  DR_ASSIGN_OR_RETURN(const PackedIdentity identity, IdentityOf(source));
  const std::string path =
      (std::filesystem::path(packed.folder) / PackedFileName(reader.folder(), source.spec)).string();

  kernels::ThreadPool& pool = *device.execution().pool;
  absl::StatusOr<PackedFile> file = packed.full_check ? OpenVerified(path, identity, bytes, pool, progress)
                                                      : PackedFile::Open(path, identity, bytes);
  if (file.ok()) {
    DR_ASSIGN_OR_RETURN(Arena arena, ArenaOf(*std::move(file), device, progress));
    DR_ASSIGN_OR_RETURN(const std::byte* const memory, arena.Allocate(bytes));
    spdlog::info("{} bytes of packed weights from {}", bytes, path);
    return LoadedWeights{.arena = std::move(arena),
                         .weights = AssembleStage(source.spec, source.manifest, memory)};
  }

  if (absl::IsNotFound(file.status())) {
    spdlog::info("{}: not there yet; it will be packed from {}", path, reader.folder());
  } else {
    spdlog::warn("{}; it will be packed again from {}", std::string(file.status().message()),
                 reader.folder());
  }
  DR_ASSIGN_OR_RETURN(LoadedWeights loaded, LoadWeights(source, device, progress));
  const absl::Status written =
      WritePackedFile(path, identity, {loaded.arena.data(), static_cast<size_t>(bytes)}, device, progress);
  if (packed.full_check) {
    DR_RETURN_IF_ERROR(written);
    DR_RETURN_IF_ERROR(OpenVerified(path, identity, bytes, pool, progress).status());
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
