#include "kernels/cuda/hopper/product_scratch.h"

#include <algorithm>

#include "base/rounded_rows.h"
#include "kernels/cuda/sm90/gemm_schedule.h"

namespace deeprack::kernels::hopper {
namespace {

using sm90::GemmConfig;

// From this number of rows on, no parts of K are summed in parallel (gemm_schedule.h). So a product with more
// rows needs no more scratch.
constexpr int64_t kMostSplitRows = 256;

}  // namespace

ProductScratch CutProduct(Rows come, int64_t k, int64_t rows, int64_t partial_bytes, ScratchCut& cut) {
  ProductScratch scratch;
  if (come == Rows::kQuantised) {
    scratch.rows = cut.Take<std::byte>(RoundedRowsLayoutOf(rows, k).bytes);
  } else if (come == Rows::kGathered) {
    scratch.rows = cut.Take<std::byte>(rows * k * static_cast<int64_t>(sizeof(bf16)));
  }
  scratch.partials = cut.Take<std::byte>(partial_bytes);
  return scratch;
}

bool ReadsRounded(const PackedWeight& weight) {
  return weight.layout != WeightLayout::kPanels && TakesE4M3(weight.type, weight.layout) && weight.k % 4 == 0;
}

bool DispatchesRounded(const PackedWeight& weight, int64_t experts) {
  return ReadsRounded(weight) && weight.k % 16 == 0 && experts <= sm90::kMaxGroups;
}

ScratchBytes ScratchOfProduct(const ProductBound& product) {
  if (product.layout == WeightLayout::kPanels) return {};
  ScratchBytes bytes;
  int64_t partials = 0;
  for (int64_t rows = 1; rows <= std::min(product.rows, kMostSplitRows); ++rows) {
    const GemmConfig config = sm90::ChooseGemm(product.groups, product.n, product.k, rows);
    partials = std::max(partials, sm90::PartialBytes(config, product.n, rows));
    bytes.counters = std::max(bytes.counters, sm90::ArrivalBytes(config, product.n, rows));
  }
  const Rows come = TakesE4M3(product.type, product.layout) ? Rows::kQuantised
                    : product.groups > 1                    ? Rows::kGathered
                                                            : Rows::kAsTheyAre;
  ScratchCut cut;
  CutProduct(come, product.k, product.rows, partials, cut);
  bytes.data = cut.used();
  return bytes;
}

}  // namespace deeprack::kernels::hopper
