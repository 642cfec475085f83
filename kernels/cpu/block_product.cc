// Products with block formats (block_form.h).
//
// Floors: a product with one row reads every packed byte once at the memory's speed. A product with many rows
// takes 2 * m * n * k operations at one byte dot product (64 multiply-adds) per register and cycle.
//
// A panel is multiplied with up to kBlockRows rows of x for each register of weights; with eight rows the
// loads of x, one quad broadcast to all lanes, just keep up. For few rows blocks are unpacked as they stream
// from memory. For more rows blocks are expanded once to bytes in the L1 cache, and running sums are kept in
// scratch memory.
#include "base/check.h"
#include "kernels/cpu/block_source.h"
#include "kernels/cpu/product.h"

namespace deeprack::kernels::DEEPRACK_SIMD {
namespace {

constexpr int64_t kExpandedColumns = 512;
constexpr int64_t kPanelsAtOnce = 16;

// The distance, in bytes, at which a stream of blocks is prefetched.
constexpr int64_t kPrefetchDistance = 8192;

// Prefetches in a burst, which keeps more lines in flight than evenly spaced prefetches. Not unrolled: the
// loops around this one would no longer fit the cache of decoded instructions.
DEEPRACK_INLINE void Prefetch(const uint8_t* p, int64_t bytes) {
#pragma GCC unroll 1
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(p + i);
}

// The bytes that a product prefetches while it multiplies: at each step `share` bytes for each panel.
struct Ahead {
  const uint8_t* next;
  int64_t panel_stride;
  int64_t share;
};

template <BlockForm kForm>
DEEPRACK_INLINE I16 Start(const QuantizedStep<kForm>& x, int group) {
  if constexpr (kForm.is_wide) return StartOffset128(x.sums[group]);
  if constexpr (kForm.has_offset) return Set1(x.sums[group]);
  return Zero();
}

template <BlockForm kForm>
DEEPRACK_INLINE I16 DotQuad(I16 sum, Bytes w, const int8_t* x) {
  if constexpr (kForm.is_wide) return DotOffset128(sum, w, x);
  return Dot(sum, w, x);
}

// One step of R rows of x times P panels, in integers and then in fp32.
template <class Block, int R, int P>
struct Step {
  static constexpr BlockForm kForm = Block::kForm;
  using X = QuantizedStep<kForm>;

  const Block (&block)[P];
  const X* const (&x)[R];
  F16 total[R][P];  // I of block_form.h

  // Quad kIndex of a unit of the block, which is unit `unit_of_step` of the step.
  template <int kIndex>
  [[gnu::always_inline]] void Dots(int64_t unit, int64_t unit_of_step, I16 (&dot)[R][P]) const {
    Bytes w[P];
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) w[p] = block[p].template Quad<kIndex>(unit);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p)
        dot[r][p] = DotQuad<kForm>(dot[r][p], w[p], x[r]->q + unit_of_step * kUnit + kIndex * 4);
    }
  }

  [[gnu::always_inline]] void Begin(int group, I16 (&dot)[R][P]) const {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) dot[r][p] = Start<kForm>(*x[r], group);
    }
  }

  // Quad kQuad of the step's groups: their scaled dot products.
  template <int kStep, int kQuad>
  [[gnu::always_inline]] void AddGroups() {
    constexpr int kGroupsInUnit = kUnit / kForm.group;
    constexpr int kUnits = 4 / kGroupsInUnit;
    constexpr int kQuadsInGroup = kForm.group / 4;  // of columns
    typename Block::Scales scales[P];
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p)
      scales[p] = block[p].template ScalesOf<kStep * kForm.step / kForm.group / 4 + kQuad>();
    for (int u = 0; u < kUnits; ++u) {
      const int unit = kQuad * kUnits + u;
      I16 dot[R][P];
      ForEachQuad([&]<int kIndex>() __attribute__((always_inline)) {
        if constexpr (kIndex % kQuadsInGroup == 0) Begin(unit * kGroupsInUnit + kIndex / kQuadsInGroup, dot);
        Dots<kIndex>(kStep * (kForm.step / kUnit) + unit, unit, dot);
        if constexpr (kIndex % kQuadsInGroup == kQuadsInGroup - 1) {
#pragma GCC unroll 8
          for (int p = 0; p < P; ++p) {
            const F16 scale = scales[p].Next();
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) total[r][p] = Fma(ToFloat(dot[r][p]), scale, total[r][p]);
          }
        }
      });
    }
  }

  // The sum of row r's minima, before m.
  template <int kStep>
  [[gnu::always_inline]] F16 MinimumFactor(int r, int p) const {
    if constexpr (kForm.minimum == Minimum::kOfBlock) {
      return Set1(BitsToFloat(static_cast<uint32_t>(x[r]->sums[0])));
    } else {
      constexpr int kQuads = kForm.step / kForm.group / 4;
      const int8_t* sums = reinterpret_cast<const int8_t*>(x[r]->sums);
      const Bytes first = block[p].template MinimaOf<kStep * kQuads>();
      I16 factor = Dot(Zero(), first, sums);
      if constexpr (kQuads == 2)
        factor = Dot(factor, block[p].template MinimaOf<kStep * kQuads + 1>(), sums + 8);
      factor = Dot(ShiftLeft<6>(factor), first, sums + 4);
      if constexpr (kQuads == 2)
        factor = Dot(factor, block[p].template MinimaOf<kStep * kQuads + 1>(), sums + 12);
      return ToFloat(factor);
    }
  }

  // The kStep-th step of the blocks.
  template <int kStep>
  [[gnu::always_inline]] void AddTo(F16 (&sums)[R][P]) {
    if constexpr (kForm.group == 0) {
      I16 dot[R][P];
      Begin(0, dot);
      for (int unit = 0; unit < kForm.step / kUnit; ++unit) {
        ForEachQuad([&]<int kIndex>() __attribute__((always_inline)) { Dots<kIndex>(unit, unit, dot); });
      }
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p) {
          if constexpr (kForm.minimum == Minimum::kZeroPoint)
            dot[r][p] = Add(dot[r][p], Mul(block[p].zero(), Set1(x[r]->sums[0])));
          total[r][p] = ToFloat(dot[r][p]);
        }
      }
    } else {
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p) total[r][p] = Set1(0.0f);
      }
      AddGroups<kStep, 0>();
      if constexpr (kForm.step / kForm.group == 8) AddGroups<kStep, 1>();
    }
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
      const F16 d = block[p].d();
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        F16 value = Mul(d, total[r][p]);
        if constexpr (kForm.minimum == Minimum::kOfBlock || kForm.minimum == Minimum::kOfGroups)
          value = Fma(block[p].m(), MinimumFactor<kStep>(r, p), value);
        sums[r][p] = Fma(value, Set1(x[r]->scale), sums[r][p]);
      }
    }
  }
};

template <int P>
DEEPRACK_INLINE void PrefetchShare(Ahead& ahead) {
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) Prefetch(ahead.next + p * ahead.panel_stride, ahead.share);
  ahead.next += ahead.share;
}

// Adds `blocks` blocks of P panels to R rows' sums. x: the rows' steps at the first block.
template <class Block, int R, int P>
void AddBlocks(const uint8_t* from, int64_t panel_stride, int64_t blocks, const void* const (&x)[R],
               Ahead& ahead, F16 (&sums)[R][P]) {
  using X = QuantizedStep<Block::kForm>;
  F16 local[R][P];  // a copy stays in registers
  const X* rows[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    rows[r] = static_cast<const X*>(x[r]);
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) local[r][p] = sums[r][p];
  }
  for (int64_t b = 0; b < blocks; ++b) {
    Block block[P];
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) block[p] = Block(from + p * panel_stride);
    PrefetchShare<P>(ahead);
    Step<Block, R, P>{block, rows}.template AddTo<0>(local);
    if constexpr (Block::kForm.elements > Block::kForm.step) {
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) ++rows[r];
      PrefetchShare<P>(ahead);
      Step<Block, R, P>{block, rows}.template AddTo<1>(local);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) ++rows[r];
    from += Block::kBytes;
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) sums[r][p] = local[r][p];
  }
}

// Multiplies `rows` <= R rows of x; sums are at totals[row][p]. For rows < R the last row is computed
// repeatedly and the extra results are dropped.
template <class Block, int R, int P>
void AddRows(const uint8_t* from, int64_t panel_stride, int64_t blocks, const void* const* x, int64_t offset,
             int64_t rows, Ahead& ahead, float* totals) {
  const void* pointers[R];
  F16 sums[R][P];
  for (int r = 0; r < R; ++r) {
    const int64_t row = Lower(r, rows - 1);
    pointers[r] = static_cast<const char*>(x[row]) + offset;
    for (int p = 0; p < P; ++p) sums[r][p] = Load(totals + (row * P + p) * 16);
  }
  AddBlocks<Block, R, P>(from, panel_stride, blocks, pointers, ahead, sums);
  for (int r = 0; r < Lower(R, rows); ++r) {
    for (int p = 0; p < P; ++p) Store(totals + (r * P + p) * 16, sums[r][p]);
  }
}

// Multiplies up to kMost rows in the smallest register block that holds them.
template <class Block, int kMost, int P>
void AddUpTo(const uint8_t* from, int64_t panel_stride, int64_t blocks, const void* const* x, int64_t offset,
             int64_t rows, Ahead& ahead, float* totals) {
  constexpr int kFewer = kMost > 4 ? kMost - 2 : kMost / 2;
  if constexpr (kMost > 1) {
    if (rows <= kFewer)
      return AddUpTo<Block, kFewer, P>(from, panel_stride, blocks, x, offset, rows, ahead, totals);
  }
  AddRows<Block, kMost, P>(from, panel_stride, blocks, x, offset, rows, ahead, totals);
}

// The product for few rows: rows <= kBlockRows.
template <DType kType>
void MultiplyPanel(const Product& product, const uint8_t* panel, int64_t row, int64_t rows, float* totals) {
  using Packed = PackedBlock<kType>;
  constexpr int kSteps = Packed::kForm.elements / Packed::kForm.step;
  const int64_t blocks = product.weight->k / Packed::kForm.elements;
  Ahead ahead{panel + kPrefetchDistance, 0, Packed::kBytes / kSteps};
  AddUpTo<Packed, kBlockRows, 1>(panel, 0, blocks, product.x + row, 0, rows, ahead, totals);
}

template <int P>
void StorePanels(DType out, const Product& product, int64_t panel, int64_t row, int64_t rows,
                 const float* totals) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int p = 0; p < P; ++p) {
      const F16 value = Load(totals + (r * P + p) * 16);
      if (out == DType::kBF16) {
        StoreColumns<bf16>(product, row + r, panel + p, value);
      } else {
        StoreColumns<float>(product, row + r, panel + p, value);
      }
    }
  }
}

// Adds `count` blocks of columns from block `first` on, of P panels at `from`, to the sums of many rows.
// `next` is the memory that is multiplied next, to prefetch.
template <DType kType, int P>
void AddExpanded(const Product& product, const uint8_t* from, int64_t first, int64_t count,
                 const uint8_t* next, int64_t row, int64_t rows, float* totals) {
  constexpr BlockForm kForm = FormOf(kType);
  using Packed = PackedBlock<kType>;
  using Expanded = ExpandedBlock<kForm>;
  constexpr int64_t kSteps = kForm.elements / kForm.step;
  constexpr int64_t kStepBytes = sizeof(QuantizedStep<kForm>) * kSteps;
  const int64_t panel_bytes = product.weight->k / kForm.elements * Packed::kBytes;
  const int64_t tile_bytes = count * Expanded::kBytes;
  uint8_t* tile = static_cast<uint8_t*>(Scratch(kTaskTile, P * tile_bytes));
  for (int p = 0; p < P; ++p) {
    for (int64_t b = 0; b < count; ++b) {
      Expanded::Expand(Packed(from + p * panel_bytes + (first + b) * Packed::kBytes),
                       tile + p * tile_bytes + b * Expanded::kBytes);
    }
  }
  const int64_t bursts = kSteps * count * ((rows + kExpandedRows - 1) / kExpandedRows);
  Ahead ahead{next, panel_bytes, (count * Packed::kBytes + bursts - 1) / bursts};
  for (int64_t r = 0; r < rows; r += kExpandedRows) {
    AddUpTo<Expanded, kExpandedRows, P>(tile, tile_bytes, count, product.x + row + r, first * kStepBytes,
                                        Lower(kExpandedRows, rows - r), ahead, totals + r * P * 16);
  }
}

// The product for many rows and panels [panel, end), at most kPanelsAtOnce. All panels are multiplied for
// some columns, so that these columns of x stay in the L1 cache, then for the next columns.
template <DType kType>
void MultiplyExpanded(DType out, const Product& product, int64_t panel, int64_t end, int64_t row,
                      int64_t rows) {
  using Packed = PackedBlock<kType>;
  constexpr int P = kExpandedPanels;
  constexpr int64_t kBlocks = kExpandedColumns / Packed::kForm.elements;
  const int64_t blocks = product.weight->k / Packed::kForm.elements;
  const int64_t panel_bytes = blocks * Packed::kBytes;
  const uint8_t* data = static_cast<const uint8_t*>(product.weight->data);
  const int64_t sums = rows * (end - panel) * 16;
  float* totals = static_cast<float*>(Scratch(kTaskTotals, sums * int64_t{sizeof(float)}));
  for (int64_t i = 0; i < sums; i += 16) Store(totals + i, Set1(0.0f));
  for (int64_t first = 0; first < blocks; first += kBlocks) {
    const int64_t count = Lower(kBlocks, blocks - first);
    for (int64_t q = panel; q < end; q += P) {
      const uint8_t* from = data + q * panel_bytes;
      const uint8_t* next = q + P < end ? from + P * panel_bytes + first * Packed::kBytes
                                        : data + panel * panel_bytes + (first + kBlocks) * Packed::kBytes;
      float* part = totals + (q - panel) * rows * 16;
      if (q + P <= end) {
        AddExpanded<kType, P>(product, from, first, count, next, row, rows, part);
      } else {
        AddExpanded<kType, 1>(product, from, first, count, next, row, rows, part);
      }
    }
  }
  for (int64_t q = panel; q < end; q += P) {
    const float* part = totals + (q - panel) * rows * 16;
    if (q + P <= end) {
      StorePanels<P>(out, product, q, row, rows, part);
    } else {
      StorePanels<1>(out, product, q, row, rows, part);
    }
  }
}

template <DType kType>
void MultiplyPanels(DType out, const Product& product, int64_t panel, int64_t end, int64_t row,
                    int64_t rows) {
  if (rows > kBlockRows) {
    for (; panel < end; panel += kPanelsAtOnce)
      MultiplyExpanded<kType>(out, product, panel, Lower(end, panel + kPanelsAtOnce), row, rows);
    return;
  }
  const int64_t panel_bytes = product.weight->k / BlockElements(kType) * PackedBlockBytes(kType);
  const uint8_t* data = static_cast<const uint8_t*>(product.weight->data);
  float totals[kBlockRows * 16];
  for (; panel < end; ++panel) {
    for (int64_t r = 0; r < rows; ++r) Store(totals + r * 16, Set1(0.0f));
    MultiplyPanel<kType>(product, data + panel * panel_bytes, row, rows, totals);
    StorePanels<1>(out, product, panel, row, rows, totals);
  }
}

}  // namespace

void MultiplyBlocks(DType out, const Product& product, int64_t panel, int64_t end, int64_t row,
                    int64_t rows) {
  DispatchBlockType(product.weight->type, [&, out, panel, end, row, rows](auto type) {
    MultiplyPanels<type.kValue>(out, product, panel, end, row, rows);
  });
}

}  // namespace deeprack::kernels::DEEPRACK_SIMD
