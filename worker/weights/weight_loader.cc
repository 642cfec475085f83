#include "worker/weights/weight_loader.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/block_formats.h"
#include "base/checked.h"
#include "base/status_macros.h"
#include "checkpoint/group_quantized/group_parts.h"
#include "model/tensors/group_types.h"
#include "model/tensors/tensor_registry.h"
#include "worker/weights/packing.h"
#include "worker/weights/stage_assembly.h"

namespace deeprack::worker {
namespace {

// Pieces between two progress reports, for each thread.
constexpr int64_t kPiecesPerThread = 4;

// Bytes of each half of staging memory; a larger piece makes the halves larger. Pinning more memory takes
// longer than it saves.
constexpr int64_t kStagingBytes = int64_t{128} << 20;

int64_t SourceBytes(const model::ModelConfig& config, const checkpoint::CheckpointReader& reader,
                    const PackingPiece& piece) {
  const model::TensorSpec& tensor = piece.tensor->parts[piece.part].tensor;
  if (model::IsStoredInGroups(config, tensor)) {
    return piece.source_elements() / (config.group_quantization->type() == DType::kInt4G128 ? 2 : 1);
  }
  const checkpoint::TensorView* view = reader.Find(tensor.name);
  return view == nullptr ? 0 : BytesOf(view->dtype, piece.source_elements());
}

// Prefetches a tensor if this rank reads all of it. The system's read-ahead serves slices.
void PrefetchIfWhole(const model::ModelConfig& config, const checkpoint::CheckpointReader& reader,
                     const PackingPiece& piece) {
  const sizing::WeightPart& part = piece.tensor->parts[piece.part];
  const int64_t elements = part.slice.rows * part.slice.cols;
  if (piece.row_begin > 0 || elements != CheckedProduct(part.tensor.shape)) return;
  if (!model::IsStoredInGroups(config, part.tensor)) return reader.Prefetch(part.tensor.name);
  const auto parts = checkpoint::FindGroupParts(reader, *config.group_quantization, part.tensor.name,
                                                part.tensor.shape[0], part.tensor.shape[1]);
  if (!parts.ok()) return;  // reading the tensor reports the error
  for (const checkpoint::GroupPart* stored : parts->All()) reader.Prefetch(stored->name);
}

// Memory to which pieces are packed: device memory itself or, where the host cannot write it, one half of
// staging memory while the other half is copied to the device.
class PackingPlaces {
 public:
  PackingPlaces(Device& device, const std::vector<PackingPiece>& pieces) : device_(device) {
    for (const PackingPiece& piece : pieces) largest_ = std::max(largest_, StagedBytes(ExtentOf(piece)));
  }

  absl::Status Open() {
    if (device_.shares_host_memory()) return absl::OkStatus();
    half_bytes_ = std::max(kStagingBytes, largest_);
    DR_ASSIGN_OR_RETURN(staging_, device_.AllocateStaging("staging of weights", 2 * half_bytes_));
    return absl::OkStatus();
  }

  // Begins a round: its pieces are packed to the other half.
  void Begin() {
    used_ = 0;
    half_ = 1 - half_;
  }

  struct Place {
    std::byte* values = nullptr;
    std::byte* scales = nullptr;
  };
  // A place for a piece in this round; values null: no room is left.
  Place Take(const PackingPiece& piece) {
    const PieceExtent extent = ExtentOf(piece);
    if (device_.shares_host_memory()) {
      return {piece.memory + extent.value_begin, piece.memory + extent.scale_begin};
    }
    if (used_ + StagedBytes(extent) > half_bytes_) return {};
    std::byte* const values = staging_.data() + half_ * half_bytes_ + used_;
    used_ += StagedBytes(extent);
    return {values, values + RoundUp(extent.value_bytes, kArenaAlignment)};
  }

  // Queues the copy of a piece. The last round's copies must be done.
  absl::Status Copy(const PackingPiece& piece, const Place& place) {
    if (device_.shares_host_memory()) return absl::OkStatus();
    const PieceExtent extent = ExtentOf(piece);
    DR_RETURN_IF_ERROR(device_.CopyIn(piece.memory + extent.value_begin, place.values, extent.value_bytes));
    return device_.CopyIn(piece.memory + extent.scale_begin, place.scales, extent.scale_bytes);
  }

 private:
  static int64_t StagedBytes(const PieceExtent& extent) {
    return RoundUp(extent.value_bytes, kArenaAlignment) + RoundUp(extent.scale_bytes, kArenaAlignment);
  }

  Device& device_;
  int64_t largest_ = 0;
  int64_t half_bytes_ = 0;
  Memory staging_;
  int64_t half_ = 0;
  int64_t used_ = 0;  // of the half
};

}  // namespace

absl::StatusOr<LoadedWeights> LoadWeights(const RankWeights& source, Device& device,
                                          const LoadProgress& progress) {
  const model::ModelConfig& config = source.spec.config;
  const checkpoint::CheckpointReader& reader = source.reader;
  DR_ASSIGN_OR_RETURN(Arena arena, Arena::Create(device, "weights", source.manifest.bytes));
  DR_ASSIGN_OR_RETURN(std::byte* const memory, arena.Allocate(source.manifest.bytes));
  std::vector<PackingPiece> pieces;
  for (const sizing::PackedTensor& tensor : source.manifest.tensors) {
    AppendPieces(config, tensor, memory + tensor.offset, pieces);
  }
  PackingPlaces packing(device, pieces);
  DR_RETURN_IF_ERROR(packing.Open());

  int64_t total = 0;
  for (const PackingPiece& piece : pieces) total += SourceBytes(config, reader, piece);
  int64_t done = 0;
  kernels::ThreadPool* const pool = device.execution().pool;
  const size_t round = static_cast<size_t>(kPiecesPerThread * pool->threads());
  std::vector<PackingPlaces::Place> places;
  std::vector<absl::Status> verdicts;
  for (size_t begin = 0; begin < pieces.size(); begin += places.size()) {
    packing.Begin();
    places.clear();
    while (begin + places.size() < pieces.size() && places.size() < round) {
      const PackingPlaces::Place place = packing.Take(pieces[begin + places.size()]);
      if (place.values == nullptr) break;
      places.push_back(place);
    }
    const size_t end = begin + places.size();
    for (size_t i = end; i < std::min(end + round, pieces.size()); ++i)
      PrefetchIfWhole(config, reader, pieces[i]);
    verdicts.assign(places.size(), absl::OkStatus());
    pool->ParallelFor(static_cast<int64_t>(places.size()), [&](int64_t i) {
      verdicts[i] = PackPiece(config, reader, pieces[begin + i], places[i].values, places[i].scales);
    });
    for (const absl::Status& verdict : verdicts) DR_RETURN_IF_ERROR(verdict);
    DR_RETURN_IF_ERROR(device.Synchronize());  // waits for the last round's copies
    for (size_t i = 0; i < places.size(); ++i) DR_RETURN_IF_ERROR(packing.Copy(pieces[begin + i], places[i]));
    for (size_t i = begin; i < end; ++i) done += SourceBytes(config, reader, pieces[i]);
    if (progress) progress(done, total);
  }
  DR_RETURN_IF_ERROR(device.Synchronize());
  return LoadedWeights{.arena = std::move(arena),
                       .weights = AssembleStage(source.spec, source.manifest, memory)};
}

}  // namespace deeprack::worker
