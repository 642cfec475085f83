// Matrix products with packed weights (kernels/api/linear.h).
//
// Floors: a product with one row reads every weight once, n * k * SizeOf(type) bytes at the memory's speed. A
// product with many rows takes 2 * m * n * k flops at one vector FMA per cycle, since sums are fp32 in k
// order; bf16 rows are twice as fast where the processor multiplies pairs of bf16 (dot_bf16.h).
//
// Few rows ("direct"): weights stream from memory through registers, several panels at a time to hide the
// latency of the FMA. Many rows ("tiled"): 128 columns of a few panels are expanded once to fp32, stay in the
// L1 cache, and serve all rows of a block; running sums are in scratch memory between column steps. Both
// forms add the same numbers in the same order.
#include "kernels/api/linear.h"

#include "base/block_formats.h"
#include "base/check.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/micro_kernel.h"
#include "kernels/cpu/product.h"
#if DEEPRACK_SIMD_LEVEL >= 3
#include "kernels/cpu/dot_bf16.h"
#endif

namespace deeprack::kernels::DEEPRACK_SIMD {
namespace {

constexpr int64_t kTileColumns = 128;
constexpr int64_t kChunkPanels = 12;  // a multiple of every number of panels taken at once
constexpr int64_t kRowBlock = 192;    // rows that share an expanded tile; a multiple of every kTileRows
constexpr int64_t kBlockFormatRowBlock =
    64;  // the same for block formats: quantised rows that fit the L2 cache

// True when rows of bf16 are multiplied in pairs of bf16; false when they are converted to fp32.
constexpr bool kMultipliesPairs = DEEPRACK_SIMD_LEVEL >= 3;
bool InPairs(const Matrix& x, const PackedWeight& weight) {
  return kMultipliesPairs && x.type == DType::kBF16 && weight.type != DType::kF32;
}

// The most rows of the direct form, and the panels that it takes at once, by the element type of x.
template <class X>
struct Shape {
  static constexpr int kRows = kDirectRows;
  static constexpr int Panels(int rows, bool fp8) { return DirectPanels(rows, fp8); }
};
#if DEEPRACK_SIMD_LEVEL >= 3
template <>
struct Shape<bf16> {
  static constexpr int kRows = kDotDirectRows;
  static constexpr int Panels(int rows, bool fp8) { return DotDirectPanels(rows, fp8); }
};
#endif

// The columns [begin, end) of fp8 scale block b; for other types, of tile b.
struct Span {
  int64_t begin, end;
};
Span ColumnSpan(const PackedWeight& w, int64_t b) {
  const int64_t offset = w.type == DType::kF8E4M3 ? w.k_block_offset : 0;
  return {Higher(0, b * kTileColumns - offset), Lower(w.k, (b + 1) * kTileColumns - offset)};
}

template <class X, class T, int R, int P>
void DirectRows(const PackedWeight& w, int64_t panel, const X* const* x, Accumulators<R, P>& total) {
  const int64_t panel_stride = w.k * kPanelRows;
  const T* values = static_cast<const T*>(w.data) + panel * panel_stride;
  Clear(total);
  if constexpr (sizeof(T) == 1) {
    const int64_t blocks = w.scale_blocks();
    const float* scales = w.scales + panel * blocks * kPanelRows;
    for (int64_t b = 0; b < blocks; ++b) {
      const Span span = ColumnSpan(w, b);
      Accumulators<R, P> sum;
      Clear(sum);
      Accumulate<T, R, P>(x, span.begin, span.end - span.begin, values + span.begin * kPanelRows,
                          panel_stride, sum);
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
        const F16 scale = Load(scales + (p * blocks + b) * kPanelRows);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) total.v[r][p] = Fma(sum.v[r][p], scale, total.v[r][p]);
      }
    }
  } else {
    Accumulate<T, R, P>(x, 0, w.k, values, panel_stride, total);
  }
}

template <class X>
const X* const* RowsOf(const Product& product) {
  return reinterpret_cast<const X* const*>(product.x);
}

template <class X, class T, class Out, int R, int P>
void DirectProduct(const Product& product, int64_t panel) {
  Accumulators<R, P> total;
  DirectRows<X, T, R, P>(*product.weight, panel, RowsOf<X>(product), total);
  for (int r = 0; r < R; ++r) {
    for (int p = 0; p < P; ++p) StoreColumns<Out>(product, r, panel + p, total.v[r][p]);
  }
}

template <class X, class T, class Out, int R>
void Direct(const Product& product, int64_t panel, int64_t end) {
  constexpr int kPanels = Shape<X>::Panels(R, sizeof(T) == 1);
  for (; panel + kPanels <= end; panel += kPanels) DirectProduct<X, T, Out, R, kPanels>(product, panel);
  for (; panel < end; ++panel) DirectProduct<X, T, Out, R, 1>(product, panel);
}

// One step of 128 columns for R rows and P panels: reads and writes the rows' running sums.
template <class X, class Tile, bool kScaled, int R, int P>
void TileRows(const X* const* x, Span span, const Tile* tile, int64_t panel_stride, const float* scales,
              int64_t scale_stride, float* totals) {
  Accumulators<R, P> acc;
  if constexpr (kScaled) {
    Clear(acc);
  } else {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) acc.v[r][p] = Load(totals + (r * P + p) * 16);
    }
  }
  Accumulate<Tile, R, P>(x, span.begin, span.end - span.begin, tile, panel_stride, acc);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
      float* total = totals + (r * P + p) * 16;
      if constexpr (kScaled) {
        Store(total, Fma(acc.v[r][p], Load(scales + p * scale_stride), Load(total)));
      } else {
        Store(total, acc.v[r][p]);
      }
    }
  }
}

template <class X, class Tile, bool kScaled, int R, int P>
void TileRemainder(int64_t rows, const X* const* x, Span span, const Tile* tile, int64_t panel_stride,
                   const float* scales, int64_t scale_stride, float* totals) {
  if constexpr (R > 0) {
    if (rows == R) {
      return TileRows<X, Tile, kScaled, R, P>(x, span, tile, panel_stride, scales, scale_stride, totals);
    }
    TileRemainder<X, Tile, kScaled, R - 1, P>(rows, x, span, tile, panel_stride, scales, scale_stride,
                                              totals);
  }
}

// fp8 and bf16 columns of a panel as fp32, 16 for each column.
template <class T>
void ExpandColumns(const T* from, int64_t columns, float* to) {
  int64_t k = 0;
  if constexpr (sizeof(T) == 1) {
    for (; k + 4 <= columns; k += 4) {
      F16 four[4];
      Load4(from + k * 16, four);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) Store(to + (k + j) * 16, four[j]);
    }
  }
  for (; k < columns; ++k) Store(to + k * 16, Load(from + k * 16));
}

// Prefetches the next tile while this tile is multiplied, in lines of 64 bytes.
template <class T>
void PrefetchAfter(const T* from, int64_t columns) {
  const char* next = reinterpret_cast<const char*>(from + columns * kPanelRows);
  for (int64_t i = 0; i < columns * kPanelRows * int64_t{sizeof(T)}; i += 64)
    __builtin_prefetch(next + i, 0, 2);
}

// Panels [panel, panel + P) for rows [row, row + rows).
template <class X, class T, class Out, int P>
void TiledPanels(const Product& product, int64_t panel, int64_t row, int64_t rows) {
  constexpr bool kScaled = sizeof(T) == 1;
  constexpr bool kExpand = sizeof(T) != sizeof(float);
  using Tile = TileElement<X>;
  const PackedWeight& w = *product.weight;
  const int64_t source_stride = w.k * kPanelRows;
  const T* values = static_cast<const T*>(w.data) + panel * source_stride;
  const int64_t blocks = kScaled ? w.scale_blocks() : (w.k + kTileColumns - 1) / kTileColumns;
  const float* scales = kScaled ? w.scales + panel * blocks * kPanelRows : nullptr;
  float* totals = static_cast<float*>(Scratch(kTaskTotals, rows * P * 16 * int64_t{sizeof(float)}));
  Tile* expanded = kExpand
                       ? static_cast<Tile*>(Scratch(kTaskTile, P * kTileColumns * 16 * int64_t{sizeof(Tile)}))
                       : nullptr;
  for (int64_t i = 0; i < rows * P; ++i) Store(totals + i * 16, Set1(0.0f));

  for (int64_t b = 0; b < blocks; ++b) {
    const Span span = ColumnSpan(w, b);
    const int64_t columns = span.end - span.begin;
    const Tile* tile = nullptr;
    int64_t panel_stride = source_stride;
    if constexpr (kExpand) {
      panel_stride = kTileColumns * kPanelRows;
      for (int p = 0; p < P; ++p) {
        const T* from = values + p * source_stride + span.begin * kPanelRows;
        PrefetchAfter(from, columns);
        ExpandColumns(from, columns, expanded + p * panel_stride);
      }
      tile = expanded;
    } else {
      tile = values + span.begin * kPanelRows;
    }
    const float* block_scales = kScaled ? scales + b * kPanelRows : nullptr;
    for (int64_t r = 0; r < rows; r += kTileRows) {
      TileRemainder<X, Tile, kScaled, kTileRows, P>(Lower(kTileRows, rows - r), RowsOf<X>(product) + row + r,
                                                    span, tile, panel_stride, block_scales,
                                                    blocks * kPanelRows, totals + r * P * 16);
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int p = 0; p < P; ++p)
      StoreColumns<Out>(product, row + r, panel + p, Load(totals + (r * P + p) * 16));
  }
}

template <class X, class T, class Out>
void Tiled(const Product& product, int64_t panel, int64_t end, int64_t row, int64_t rows) {
  for (; panel + kTilePanels <= end; panel += kTilePanels) {
    TiledPanels<X, T, Out, kTilePanels>(product, panel, row, rows);
  }
  for (; panel < end; ++panel) TiledPanels<X, T, Out, 1>(product, panel, row, rows);
}

template <class X, class T, class Out, int R>
void DirectOrLess(const Product& product, int64_t panel, int64_t end) {
  if constexpr (R > 0) {
    if (product.m == R) return Direct<X, T, Out, R>(product, panel, end);
    DirectOrLess<X, T, Out, R - 1>(product, panel, end);
  }
}

template <class X, class T, class Out>
void RunPanels(const Product& product, int64_t panel, int64_t end, int64_t row, int64_t rows) {
  if (product.m <= Shape<X>::kRows) {
    DirectOrLess<X, T, Out, Shape<X>::kRows>(product, panel, end);
  } else {
    Tiled<X, T, Out>(product, panel, end, row, rows);
  }
}

template <class X, class T>
void RunPanelsTo(DType out, const Product& product, int64_t panel, int64_t end, int64_t row, int64_t rows) {
  if (out == DType::kBF16) {
    RunPanels<X, T, bf16>(product, panel, end, row, rows);
  } else {
    RunPanels<X, T, float>(product, panel, end, row, rows);
  }
}

template <class T>
void RunPanelsOf(DType out, const Product& product, int64_t panel, int64_t end, int64_t row, int64_t rows) {
  if constexpr (kMultipliesPairs && sizeof(T) < sizeof(float)) {
    if (product.in_pairs) return RunPanelsTo<bf16, T>(out, product, panel, end, row, rows);
  }
  RunPanelsTo<float, T>(out, product, panel, end, row, rows);
}

int64_t RowBlockOf(const PackedWeight& weight) {
  return IsBlockFormat(weight.type) ? kBlockFormatRowBlock : kRowBlock;
}
int64_t RowBlocks(const Product& product) {
  const int64_t block = RowBlockOf(*product.weight);
  return (product.m + block - 1) / block;
}

// Runs products that share one weight shape and out type, cut into tasks over (product, row block, panel
// range).
void RunProducts(Product* products, int64_t count, DType out, const Execution& execution) {
  if (count == 0) return;
  const PackedWeight& shape = *products[0].weight;
  const int64_t panels = shape.panels();
  int64_t panel_runs = 0;
  for (int64_t i = 0; i < count; ++i) panel_runs += panels * RowBlocks(products[i]);
  if (panel_runs == 0) return;
  // Eight tasks a thread balance uneven threads without tasks that are too small.
  const int64_t wanted = panel_runs / (ThreadCount(execution) * 8) / kChunkPanels * kChunkPanels;
  const int64_t chunk = Lower(panels, Higher(wanted == 0 ? kTilePanels : kChunkPanels, wanted));
  const int64_t chunks = (panels + chunk - 1) / chunk;
  int64_t tasks = 0;
  for (int64_t i = 0; i < count; ++i) {
    products[i].first_task = tasks;
    tasks += chunks * RowBlocks(products[i]);
  }
  ParallelFor(execution, tasks, [=](int64_t task) {
    int64_t low = 0, high = count - 1;  // the last product that begins at or before the task and has rows
    while (low < high) {
      const int64_t middle = (low + high + 1) / 2;
      if (products[middle].first_task <= task) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    const Product& product = products[low];
    const int64_t index = task - product.first_task;
    const int64_t panel = index % chunks * chunk;
    const int64_t row_block = RowBlockOf(*product.weight);
    const int64_t row = index / chunks * row_block;
    const int64_t end = Lower(panels, panel + chunk);
    const int64_t rows = Lower(row_block, product.m - row);
    if (IsBlockFormat(product.weight->type)) return MultiplyBlocks(out, product, panel, end, row, rows);
    switch (product.weight->type) {
      case DType::kBF16:
        return RunPanelsOf<bf16>(out, product, panel, end, row, rows);
      case DType::kF8E4M3:
        return RunPanelsOf<fp8_e4m3>(out, product, panel, end, row, rows);
      default:
        return RunPanelsOf<float>(out, product, panel, end, row, rows);
    }
  });
}

// The rows of x in the form that products with a weight type take: x itself, or converted rows in the call's
// scratch memory. Has room for `pointers` row pointers.
struct Rows {
  const char* data;
  int64_t stride;        // bytes
  int64_t element_size;  // bytes
  const void** pointers;
};

// Converts every row by convert(row, to) to `stride` bytes.
template <class Convert>
Rows ConvertRows(const Matrix& x, int64_t stride, int64_t pointers, const Execution& execution,
                 Convert convert) {
  const int64_t pointer_bytes = (pointers * int64_t{sizeof(void*)} + 63) / 64 * 64;
  char* memory = static_cast<char*>(Scratch(kCallRows, pointer_bytes + x.rows * stride));
  char* values = memory + pointer_bytes;
  const int64_t rows_per_task = Higher(1, 32768 / Higher(1, x.cols));
  ParallelFor(execution, (x.rows + rows_per_task - 1) / rows_per_task, [=, &x](int64_t task) {
    for (int64_t r = task * rows_per_task; r < Lower(x.rows, (task + 1) * rows_per_task); ++r)
      convert(r, values + r * stride);
  });
  return {values, stride, sizeof(float), reinterpret_cast<const void**>(memory)};
}

Rows PrepareRows(const Matrix& x, const PackedWeight& weight, int64_t pointers, const Execution& execution) {
  if (IsBlockFormat(weight.type)) {
    const int64_t stride = (QuantizedRowBytes(weight.type, x.cols) + 63) / 64 * 64;
    return ConvertRows(x, stride, pointers, execution,
                       [type = weight.type, &x](int64_t row, char* to) { QuantizeRow(type, x, row, to); });
  }
  if (x.type == DType::kBF16 && !InPairs(x, weight)) {
    const int64_t stride = (x.cols + 15) / 16 * 16 * int64_t{sizeof(float)};
    return ConvertRows(x, stride, pointers, execution, [&x](int64_t row, char* to) {
      const bf16* from = x.row<bf16>(row);
      for (int64_t c = 0; c < x.cols; c += 16)
        Store(reinterpret_cast<float*>(to) + c, LoadFirst(from + c, x.cols - c));
    });
  }
  const int64_t size = x.type == DType::kBF16 ? sizeof(bf16) : sizeof(float);
  return {static_cast<const char*>(x.data), x.stride * size, size,
          static_cast<const void**>(Scratch(kCallRows, pointers * int64_t{sizeof(void*)}))};
}

void* Element(const Matrix& matrix, int64_t row, int64_t column) {
  return static_cast<char*>(matrix.data) +
         (row * matrix.stride + column) * (matrix.type == DType::kBF16 ? 2 : 4);
}

}  // namespace

void Linear(const LinearArgs& args, const Execution& execution) {
  DR_CHECK(args.x.cols == args.weight.k && args.out.cols == args.weight.n && args.out.rows == args.x.rows);
  const bool in_pairs = InPairs(args.x, args.weight);
  const Rows rows = PrepareRows(args.x, args.weight, args.x.rows, execution);
  for (int64_t r = 0; r < args.x.rows; ++r) rows.pointers[r] = rows.data + r * rows.stride;
  Product product{&args.weight, rows.pointers, in_pairs, args.x.rows, args.out.data, args.out.stride, 0};
  RunProducts(&product, 1, args.out.type, execution);
}

void HeadLinear(const HeadLinearArgs& args, const Execution& execution) {
  const int64_t m = args.x.rows;
  if (args.heads == 0 || m == 0) return;
  const int64_t n = args.weights[0].n;
  DR_CHECK(!IsBlockFormat(args.weights[0].type));
  DR_CHECK(args.x_head_stride >= args.weights[0].k && args.x.cols >= args.heads * args.x_head_stride);
  DR_CHECK(args.out.cols == args.heads * n && args.out.rows == m);
  const bool in_pairs = InPairs(args.x, args.weights[0]);
  const Rows rows = PrepareRows(args.x, args.weights[0], m * args.heads, execution);
  Product* products = static_cast<Product*>(Scratch(kCallProducts, args.heads * int64_t{sizeof(Product)}));
  for (int64_t h = 0; h < args.heads; ++h) {
    const void** pointers = rows.pointers + h * m;
    for (int64_t r = 0; r < m; ++r) {
      pointers[r] = rows.data + r * rows.stride + h * args.x_head_stride * rows.element_size;
    }
    products[h] =
        Product{&args.weights[h], pointers, in_pairs, m, Element(args.out, 0, h * n), args.out.stride, 0};
  }
  RunProducts(products, args.heads, args.out.type, execution);
}

void GroupedLinear(const GroupedLinearArgs& args, const Execution& execution) {
  const int64_t grouped_rows = args.offsets[args.experts];
  if (grouped_rows == 0) return;
  DR_CHECK(args.x.cols == args.weights[0].k && args.out.cols == args.weights[0].n);
  Matrix x = args.x;  // may have more rows than exist
  if (args.row_index == nullptr) x.rows = Lower(x.rows, grouped_rows);
  const bool in_pairs = InPairs(x, args.weights[0]);
  const Rows rows = PrepareRows(x, args.weights[0], grouped_rows, execution);
  for (int64_t r = 0; r < grouped_rows; ++r) {
    rows.pointers[r] = rows.data + (args.row_index != nullptr ? args.row_index[r] : r) * rows.stride;
  }
  Product* products = static_cast<Product*>(Scratch(kCallProducts, args.experts * int64_t{sizeof(Product)}));
  int64_t count = 0;
  for (int64_t e = 0; e < args.experts; ++e) {
    const int64_t begin = args.offsets[e], m = args.offsets[e + 1] - begin;
    if (m == 0) continue;
    products[count++] = Product{&args.weights[e],
                                rows.pointers + begin,
                                in_pairs,
                                m,
                                Element(args.out, begin, 0),
                                args.out.stride,
                                0};
  }
  RunProducts(products, count, args.out.type, execution);
}

}  // namespace deeprack::kernels::DEEPRACK_SIMD
