#include "worker/weights/weight_loader.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/block_formats.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "model/budget/budget.h"
#include "model/budget/packed_tensors.h"
#include "worker/weights/packing.h"
#include "worker/weights/stage_assembly.h"

namespace deeprack::worker {
namespace {

// Pieces between two progress reports, for each thread.
constexpr int64_t kPiecesPerThread = 4;

int64_t SourceBytes(const checkpoint::CheckpointReader& reader, const PackingPiece& piece) {
  const checkpoint::TensorView* view = reader.Find(piece.tensor->parts[piece.part].tensor.name);
  return view == nullptr ? 0 : BytesOf(view->dtype, piece.source_elements());
}

// Asks for a tensor ahead of time if this rank reads all of it; slices are left to the system's read-ahead.
void PrefetchIfWhole(const checkpoint::CheckpointReader& reader, const PackingPiece& piece) {
  const model::WeightPart& part = piece.tensor->parts[piece.part];
  const checkpoint::TensorView* view = reader.Find(part.tensor.name);
  const int64_t elements = part.slice.rows * part.slice.cols;
  if (view == nullptr || piece.row_begin > 0) return;
  if (BytesOf(view->dtype, elements) == static_cast<int64_t>(view->bytes.size())) {
    reader.Prefetch(part.tensor.name);
  }
}

}  // namespace

absl::StatusOr<LoadedWeights> LoadWeights(const model::ModelConfig& config, const model::Layout& layout,
                                          Rank rank, DType compute,
                                          const checkpoint::CheckpointReader& reader,
                                          kernels::ThreadPool* pool, const LoadProgress& progress) {
  const model::TensorTypes types = reader.BlockTypes();
  DR_ASSIGN_OR_RETURN(Arena arena,
                      Arena::Create("weights", model::WeightBytes(config, layout, rank, compute, types)));
  const std::vector<model::PackedTensor> tensors =
      model::PackedTensorsOf(config, layout, rank, compute, types);
  const int64_t first_layer =
      model::LayersOfStage(config, layout, model::CoordinatesOf(layout, rank).pp_rank).first;

  StageWeights weights;
  std::vector<PackingPiece> pieces;
  for (const model::PackedTensor& tensor : tensors) {
    DR_ASSIGN_OR_RETURN(std::byte * memory, arena.Allocate(tensor.bytes()));
    PlaceTensor(config, tensor, memory, first_layer, weights);
    AppendPieces(config, tensor, memory, pieces);
  }
  DR_CHECK(arena.used() == arena.capacity());

  int64_t total = 0;
  for (const PackingPiece& piece : pieces) total += SourceBytes(reader, piece);
  int64_t done = 0;
  const size_t round = static_cast<size_t>(kPiecesPerThread * pool->threads());
  std::vector<absl::Status> verdicts;
  for (size_t begin = 0; begin < pieces.size(); begin += round) {
    const size_t end = std::min(begin + round, pieces.size());
    for (size_t i = end; i < std::min(end + round, pieces.size()); ++i) PrefetchIfWhole(reader, pieces[i]);
    verdicts.assign(end - begin, absl::OkStatus());
    pool->ParallelFor(static_cast<int64_t>(end - begin),
                      [&](int64_t i) { verdicts[i] = PackPiece(config, reader, pieces[begin + i]); });
    for (const absl::Status& verdict : verdicts) DR_RETURN_IF_ERROR(verdict);
    for (size_t i = begin; i < end; ++i) done += SourceBytes(reader, pieces[i]);
    if (progress) progress(done, total);
  }
  return LoadedWeights{.arena = std::move(arena), .weights = std::move(weights)};
}

}  // namespace deeprack::worker
