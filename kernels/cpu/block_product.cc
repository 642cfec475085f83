// Products with block formats (block_form.h).
//
// Floors: one row reads every packed byte once at the memory's speed; many rows are bound by 2 * m * n * k
// operations at one byte dot product (64 multiply-adds) per lane register and cycle.
//
// A panel at a time, up to kBlockRows rows of x to a register of weights: with eight rows the loads of x, one
// quad broadcast to all lanes, just keep up. Few rows unpack blocks as they stream by; more rows share blocks
// that were expanded to bytes in L1 once, and their running sums wait in a scratch.
#include "base/check.h"
#include "kernels/cpu/block_source.h"
#include "kernels/cpu/product.h"

namespace deeprack::kernels::DEEPRACK_SIMD {
namespace {

constexpr int64_t kPrefetchAhead = 4096;  // bytes ahead of use that weights are asked for
constexpr int64_t kExpandedColumns = 1024;

template <int R>
struct Sums {
  F16 v[R];
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

// A quad of groups, the kQuad-th of a step that is the kStep-th of its block: adds their scaled dot products.
template <int kStep, int kQuad, int R, class Block>
DEEPRACK_INLINE void AddGroups(const Block& block, const QuantizedStep<Block::kForm>* const (&x)[R],
                               I16 (&total)[R]) {
  constexpr BlockForm kForm = Block::kForm;
  constexpr int kQuadsInStep = kForm.step / kForm.group / 4;
  constexpr int kGroupsInUnit = kUnit / kForm.group;
  constexpr int kQuadsInGroup = kForm.group / 4;  // quads of columns
  auto scales = block.template ScalesOf<kStep * kQuadsInStep + kQuad>();
  for (int u = 0; u < 4 / kGroupsInUnit; ++u) {
    const int unit = kQuad * (4 / kGroupsInUnit) + u;
    I16 dot[R];
    block.Unpack(
        kStep * (kForm.step / kUnit) + unit, [&](int j, Bytes w) __attribute__((always_inline)) {
          if (j % kQuadsInGroup == 0) {
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r)
              dot[r] = Start<kForm>(*x[r], unit * kGroupsInUnit + j / kQuadsInGroup);
          }
#pragma GCC unroll 8
          for (int r = 0; r < R; ++r) dot[r] = DotQuad<kForm>(dot[r], w, x[r]->q + unit * kUnit + j * 4);
          if (j % kQuadsInGroup == kQuadsInGroup - 1) {
            const I16 scale = scales.Next();
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) total[r] = Add(total[r], Mul(dot[r], scale));
          }
        });
  }
}

// What the minimum multiplies, for one row.
template <int kStep, class Block>
DEEPRACK_INLINE F16 MinimumFactor(const Block& block, const QuantizedStep<Block::kForm>& x) {
  constexpr BlockForm kForm = Block::kForm;
  if constexpr (kForm.minimum == Minimum::kOfBlock) {
    return Set1(BitsToFloat(static_cast<uint32_t>(x.sums[0])));
  } else {
    constexpr int kQuadsInStep = kForm.step / kForm.group / 4;
    const int8_t* sums = reinterpret_cast<const int8_t*>(x.sums);
    const Bytes first = block.template MinimaOf<kStep * kQuadsInStep>();
    I16 high = Dot(Zero(), first, sums);
    if constexpr (kQuadsInStep == 2) {
      const Bytes second = block.template MinimaOf<kStep * kQuadsInStep + 1>();
      high = Dot(high, second, sums + 8);
      return ToFloat(Dot(Dot(ShiftLeft<6>(high), first, sums + 4), second, sums + 12));
    } else {
      return ToFloat(Dot(ShiftLeft<6>(high), first, sums + 4));
    }
  }
}

template <int kStep, int R, class Block>
DEEPRACK_INLINE void AddStep(const Block& block, const QuantizedStep<Block::kForm>* const (&x)[R],
                             F16 (&sums)[R]) {
  constexpr BlockForm kForm = Block::kForm;
  I16 total[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) total[r] = kForm.group == 0 ? Start<kForm>(*x[r], 0) : Zero();
  if constexpr (kForm.group == 0) {
    for (int unit = 0; unit < kForm.step / kUnit; ++unit) {
      block.Unpack(
          unit, [&](int j, Bytes w) __attribute__((always_inline)) {
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r)
              total[r] = DotQuad<kForm>(total[r], w, x[r]->q + unit * kUnit + j * 4);
          });
    }
  } else {
    AddGroups<kStep, 0, R>(block, x, total);
    if constexpr (kForm.group == 16) AddGroups<kStep, 1, R>(block, x, total);
  }
  if constexpr (kForm.minimum == Minimum::kZeroPoint) {
    const I16 zero = block.zero();
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) total[r] = Add(total[r], Mul(zero, Set1(x[r]->sums[0])));
  }
  const F16 d = block.d();
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    F16 value = Mul(d, ToFloat(total[r]));
    if constexpr (kForm.minimum == Minimum::kOfBlock || kForm.minimum == Minimum::kOfGroups)
      value = Fma(block.m(), MinimumFactor<kStep>(block, *x[r]), value);
    sums[r] = Fma(value, Set1(x[r]->scale), sums[r]);
  }
}

// Adds `blocks` blocks' columns to R rows' sums. The rows of x advance by as many.
template <class Block, int R>
void AddBlocks(const uint8_t* from, int64_t blocks, const void* const* x, F16 (&sums)[R]) {
  using Step = QuantizedStep<Block::kForm>;
  constexpr int kSteps = Block::kForm.elements / Block::kForm.step;
  F16 local[R];
  const Step* rows[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    local[r] = sums[r];
    rows[r] = static_cast<const Step*>(x[r]);
  }
  for (int64_t b = 0; b < blocks; ++b) {
    const Block block(from);
    for (int64_t i = 0; i < Block::kBytes; i += 64) __builtin_prefetch(from + kPrefetchAhead + i);
    AddStep<0, R>(block, rows, local);
    if constexpr (kSteps == 2) {
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) ++rows[r];
      AddStep<1, R>(block, rows, local);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) ++rows[r];
    from += Block::kBytes;
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) sums[r] = local[r];
}

// `rows` <= R rows of x, whose sums lie at `totals`. Where fewer than R, the last is computed again in vain.
template <class Block, int R>
void AddRows(const uint8_t* from, int64_t blocks, const void* const* x, int64_t offset, int64_t rows,
             float* totals) {
  const void* pointers[R];
  F16 sums[R];
  for (int r = 0; r < R; ++r) {
    const int64_t row = Lower(r, rows - 1);
    pointers[r] = static_cast<const char*>(x[row]) + offset;
    sums[r] = Load(totals + row * 16);
  }
  AddBlocks<Block, R>(from, blocks, pointers, sums);
  for (int r = 0; r < Lower(R, rows); ++r) Store(totals + r * 16, sums[r]);
}

template <class Block>
void AddUpTo8Rows(const uint8_t* from, int64_t blocks, const void* const* x, int64_t offset, int64_t rows,
                  float* totals) {
  if (rows == 1) return AddRows<Block, 1>(from, blocks, x, offset, rows, totals);
  if constexpr (kBlockRows > 2) {
    if (rows > 6) return AddRows<Block, 8>(from, blocks, x, offset, rows, totals);
    if (rows > 4) return AddRows<Block, 6>(from, blocks, x, offset, rows, totals);
    if (rows > 2) return AddRows<Block, 4>(from, blocks, x, offset, rows, totals);
  }
  return AddRows<Block, 2>(from, blocks, x, offset, rows, totals);
}

template <DType kType>
void MultiplyPanel(const Product& product, const uint8_t* panel, int64_t row, int64_t rows, float* totals) {
  constexpr BlockForm kForm = FormOf(kType);
  using Packed = PackedBlock<kType>;
  using Expanded = ExpandedBlock<kForm>;
  const int64_t blocks = product.weight->k / kForm.elements;
  const void* const* x = product.x + row;
  for (int64_t r = 0; r < rows; ++r) Store(totals + r * 16, Set1(0.0f));
  if (rows <= kBlockRows) return AddUpTo8Rows<Packed>(panel, blocks, x, 0, rows, totals);

  constexpr int64_t kBlocks = kExpandedColumns / kForm.elements;
  constexpr int64_t kStepBytes = sizeof(QuantizedStep<kForm>) * (kForm.elements / kForm.step);
  uint8_t* tile = static_cast<uint8_t*>(Scratch(kTaskTile, kBlocks * Expanded::kBytes));
  for (int64_t first = 0; first < blocks; first += kBlocks) {
    const int64_t count = Lower(kBlocks, blocks - first);
    for (int64_t b = 0; b < count; ++b) {
      const uint8_t* from = panel + (first + b) * Packed::kBytes;
      for (int64_t i = 0; i < Packed::kBytes; i += 64) __builtin_prefetch(from + kPrefetchAhead + i);
      Expanded::Expand(Packed(from), tile + b * Expanded::kBytes);
    }
    for (int64_t r = 0; r < rows; r += kBlockRows) {
      AddUpTo8Rows<Expanded>(tile, count, x + r, first * kStepBytes, Lower(kBlockRows, rows - r),
                             totals + r * 16);
    }
  }
}

}  // namespace

void MultiplyBlocks(DType out, const Product& product, int64_t panel, int64_t end, int64_t row,
                    int64_t rows) {
  const PackedWeight& w = *product.weight;
  const int64_t panel_bytes = w.k / BlockElements(w.type) * PackedBlockBytes(w.type);
  float* totals = static_cast<float*>(Scratch(kTaskTotals, rows * 16 * int64_t{sizeof(float)}));
  for (; panel < end; ++panel) {
    const uint8_t* from = static_cast<const uint8_t*>(w.data) + panel * panel_bytes;
    DispatchBlockType(w.type,
                      [&](auto type) { MultiplyPanel<type.kValue>(product, from, row, rows, totals); });
    for (int64_t r = 0; r < rows; ++r) {
      const F16 value = Load(totals + r * 16);
      if (out == DType::kBF16) {
        StoreColumns<bf16>(product, row + r, panel, value);
      } else {
        StoreColumns<float>(product, row + r, panel, value);
      }
    }
  }
}

}  // namespace deeprack::kernels::DEEPRACK_SIMD
