// One page of keys and values for a group of queries: what latent and grouped-query attention have in common.
// A (query row, head) pair is an item; its arithmetic is what it would be alone.
//
// Queries and pages are fp32, X = float; or, where the processor multiplies pairs of bf16 and both are bf16
// anyway, as they are, X = bf16: twice the rate, for softmax weights rounded to bf16.
#pragma once

#include "base/ids.h"
#include "kernels/api/matrix.h"
#include "kernels/cpu/micro_kernel.h"
#if DEEPRACK_SIMD_LEVEL >= 3
#include "kernels/cpu/dot_bf16.h"
#endif

namespace deeprack::kernels::DEEPRACK_SIMD {
namespace {

constexpr int64_t kPositionPanels = kPageTokens / 16;
constexpr int64_t kScoreBlock = 128;
// (row, head) pairs of a task: amortise a page's expansion, and stay in the L2 cache.
constexpr int64_t kItemsPerTask = 64;

int64_t RoundUp16(int64_t n) { return (n + 15) / 16 * 16; }
int64_t RoundUp32(int64_t n) { return (n + 31) / 32 * 32; }
int64_t Blocks(int64_t n, int64_t block) { return (n + block - 1) / block; }

// Calls f(X{}) with the type in which queries of type `query` meet pages of type `cache`.
template <class F>
void DispatchPageType(DType query, DType cache, F f) {
#if DEEPRACK_SIMD_LEVEL >= 3
  if (query == DType::kBF16 && (cache == DType::kBF16 || cache == DType::kF8E4M3)) return f(bf16{});
#endif
  f(float{});
}

// A task's working memory. Item = row * heads + head, within the task.
template <class X>
struct Workspace {
  using Tile = TileElement<X>;

  int64_t key;        // dimensions of a key
  int64_t entry;      // the same, rounded up to 32
  int64_t value;      // dimensions of a value, rounded up to 16
  X* query;           // [items, entry]
  X* weights;         // [items, kPageTokens]: of the page at hand, relative to the maximum
  float* scores;      // [items, kPageTokens]: of the page at hand
  float* sum;         // [items, value]: weighted sum of values so far
  float* maximum;     // [items]: largest score so far
  float* weight;      // [items]: sum of weights so far, relative to the maximum
  float* added;       // [items]: sum of the page's weights
  float* correction;  // [items]: what the page's new maximum scales the old sums by
  Tile* keys;         // [kPositionPanels, entry, 16]: positions in lanes
  Tile* values;       // [value / 16, kPageTokens, 16]: dimensions in lanes; room for an even number of panels
};

// With nothing attended to yet.
template <class X>
Workspace<X> Allocate(int64_t key_dim, int64_t value_dim, int64_t items) {
  using Tile = TileElement<X>;
  Workspace<X> w;
  w.key = key_dim;
  w.entry = RoundUp32(key_dim);
  w.value = RoundUp16(value_dim);
  const int64_t of_x = items * (w.entry + kPageTokens), padded = RoundUp16(items);
  const int64_t of_float = items * (w.value + kPageTokens) + 4 * padded;
  char* memory =
      static_cast<char*>(Scratch(kTaskQuery, of_x * int64_t{sizeof(X)} + of_float * int64_t{sizeof(float)}));
  w.query = reinterpret_cast<X*>(memory);
  w.weights = w.query + items * w.entry;
  w.scores = reinterpret_cast<float*>(memory + of_x * int64_t{sizeof(X)});
  w.sum = w.scores + items * kPageTokens;
  w.maximum = w.sum + items * w.value;
  w.weight = w.maximum + padded;
  w.added = w.weight + padded;
  w.correction = w.added + padded;
  const int64_t tiles = kPageTokens * (w.entry + RoundUp32(w.value));
  w.keys = static_cast<Tile*>(Scratch(kTaskPage, tiles * int64_t{sizeof(Tile)}));
  w.values = w.keys + kPageTokens * w.entry;
  for (int64_t i = 0; i < items * w.value; i += 16) Store(w.sum + i, Set1(0.0f));
  for (int64_t i = 0; i < items; ++i) {
    w.maximum[i] = -__builtin_inff();
    w.weight[i] = 0;
  }
  return w;
}

template <class T, class X>
void CopyQuery(const T* from, int64_t count, X* to) {
  for (int64_t c = 0; c < count; c += 16) StoreFirst(to + c, LoadFirst(from + c, count - c), count - c);
}

// As many dimensions of a key as a register holds, the first `count` of them, zeros after them.
template <class T>
F16 LoadKeyPart(const T* key, int64_t count, float) {
  return LoadFirst(key, count);
}
#if DEEPRACK_SIMD_LEVEL >= 3
F16 LoadKeyPart(const bf16* key, int64_t count, bf16) { return LoadWords(key, count); }
#endif

// Takes the first `count` keys of a page, `stride` elements apart; positions up to the next multiple of 16
// become zeros. Registers are transposed by 32 bits: dimensions, or pairs of them.
template <class T, class X>
void LoadKeys(const T* keys, int64_t stride, int64_t count, const Workspace<X>& w) {
  constexpr int64_t kDimensions = 64 / sizeof(TileElement<X>);
  for (int64_t first = 0; first < count; first += 16) {
    for (int64_t d = 0; d < w.key; d += kDimensions) {
      F16 rows[16];
#pragma GCC unroll 16
      for (int64_t i = 0; i < 16; ++i)
        rows[i] =
            first + i < count ? LoadKeyPart(keys + (first + i) * stride + d, w.key - d, X{}) : Set1(0.0f);
      StoreTransposed(rows, reinterpret_cast<float*>(w.keys + first * w.entry + d * 16));
    }
  }
}

template <class T>
void LoadValues(const T* values, int64_t stride, int64_t dim, int64_t count, const Workspace<float>& w) {
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t d = 0; d < dim; d += 16)
      Store(w.values + d * kPageTokens + i * 16, LoadFirst(values + i * stride + d, dim - d));
  }
}

#if DEEPRACK_SIMD_LEVEL >= 3
// Pairs of positions; a last one without a partner is paired with zeros.
[[maybe_unused]] void LoadValues(const bf16* values, int64_t stride, int64_t dim, int64_t count,
                                 const Workspace<bf16>& w) {
  for (int64_t i = 0; i < count; i += 2) {
    const bf16* const row = values + i * stride;
    for (int64_t d = 0; d < dim; d += 32) {
      PairElement* const to = w.values + d * kPageTokens + i * 16;
      const F16 next = i + 1 < count ? LoadWords(row + stride + d, dim - d) : Set1(0.0f);
      StoreInterleaved(LoadWords(row + d, dim - d), next, to, to + kPageTokens * 16);
    }
  }
}
#endif

// Calls f.operator()<R>(first) for blocks of R <= kTileRows items until `items` are through. How many share a
// block changes no bit.
template <int R = kTileRows, class F>
void ForItemBlocks(int64_t items, F f, int64_t first = 0) {
  for (; first + R <= items; first += R) f.template operator()<R>(first);
  if constexpr (R > 1) {
    if (first < items) ForItemBlocks<R - 1>(items, f, first);
  }
}

// Adds to the scores of R items at the positions of panels [panel, panel + P) what dimensions [first, first +
// kScoreBlock) contribute. One chain over all 576 would cost a digit.
template <class X, int R, int P>
void ScorePanels(const Workspace<X>& w, int64_t item, int64_t first, int64_t panel) {
  const X* query[R];
  for (int r = 0; r < R; ++r) query[r] = w.query + (item + r) * w.entry;
  Accumulators<R, P> acc;
  Clear(acc);
  Accumulate<TileElement<X>, R, P>(query, first, Lower(kScoreBlock, w.key - first),
                                   w.keys + (panel * w.entry + first) * 16, w.entry * 16, acc);
  float* scores = w.scores + item * kPageTokens + panel * 16;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
      float* score = scores + r * kPageTokens + p * 16;
      Store(score, first == 0 ? acc.v[r][p] : Add(Load(score), acc.v[r][p]));
    }
  }
}

// Turns scores of a page into weights relative to the new maximum. What is added up is what values are
// multiplied by, rounded or not.
template <class X>
void Softmax(const Workspace<X>& w, int64_t item, int64_t items, int64_t count, float scale) {
  for (int64_t i = item; i < item + items; ++i) {
    float* scores = w.scores + i * kPageTokens;
    X* weights = w.weights + i * kPageTokens;
    for (int64_t c = count; c < kPageTokens; ++c) scores[c] = -__builtin_inff();
    F16 values[kPositionPanels];
    F16 largest = Set1(-__builtin_inff());
#pragma GCC unroll 4
    for (int64_t p = 0; p < kPositionPanels; ++p) {
      values[p] = Mul(Load(scores + p * 16), Set1(scale));
      largest = Max(largest, values[p]);
    }
    const float page_maximum = MaxLanes(largest);
    const float maximum = w.maximum[i] > page_maximum ? w.maximum[i] : page_maximum;
    F16 sum = Set1(0.0f);
#pragma GCC unroll 4
    for (int64_t p = 0; p < kPositionPanels; ++p) {
      Store(weights + p * 16, Exp(Sub(values[p], Set1(maximum))));
      sum = Add(sum, Load(weights + p * 16));
    }
    w.added[i] = SumLanes(sum);
    w.correction[i] = w.maximum[i] - maximum;
    w.maximum[i] = maximum;
  }
  for (int64_t i = item; i < item + items; i += 16) {
    const int64_t n = item + items - i;
    const F16 correction = Exp(LoadFirst(w.correction + i, n));
    StoreFirst(w.correction + i, correction, n);
    StoreFirst(w.weight + i, Add(Mul(LoadFirst(w.weight + i, n), correction), LoadFirst(w.added + i, n)), n);
  }
}

// Scales the old sums of R items and adds the page's values, in panels from `column` on.
template <class X, int R, int P>
void AddValuePanels(const Workspace<X>& w, int64_t item, int64_t count, int64_t column) {
  const X* weights[R];
  for (int r = 0; r < R; ++r) weights[r] = w.weights + (item + r) * kPageTokens;
  float* sum = w.sum + item * w.value + column;
  Accumulators<R, P> acc;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    const F16 correction = Set1(w.correction[item + r]);
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) acc.v[r][p] = Mul(Load(sum + r * w.value + p * 16), correction);
  }
  Accumulate<TileElement<X>, R, P>(weights, 0, count, w.values + column * kPageTokens, kPageTokens * 16, acc);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) Store(sum + r * w.value + p * 16, acc.v[r][p]);
  }
}

template <class X, int P>
void ScorePanelsForAll(const Workspace<X>& w, int64_t item, int64_t items, int64_t first, int64_t panel) {
  ForItemBlocks(items, [&]<int R>(int64_t i) { ScorePanels<X, R, P>(w, item + i, first, panel); });
}

template <class X, int P>
void AddValuePanelsForAll(const Workspace<X>& w, int64_t item, int64_t items, int64_t count, int64_t column) {
  ForItemBlocks(items, [&]<int R>(int64_t i) { AddValuePanels<X, R, P>(w, item + i, count, column); });
}

// A page that will be wanted next, of which each step of the current one asks for a few positions: the
// processor guesses badly at strides of a thousand bytes.
struct Upcoming {
  const char* keys = nullptr;  // null: none
  const char* values = nullptr;
  int64_t stride = 0;  // bytes, from position to position
  int64_t key_bytes = 0;
  int64_t value_bytes = 0;
  int64_t asked = 0;  // positions

  void AskFor(int64_t positions) {
    if (keys == nullptr) return;
    for (; positions > 0 && asked < kPageTokens; --positions, ++asked) {
      for (int64_t i = 0; i < key_bytes; i += 64) __builtin_prefetch(keys + asked * stride + i, 0, 3);
      for (int64_t i = 0; i < value_bytes; i += 64) __builtin_prefetch(values + asked * stride + i, 0, 3);
    }
  }
};

// One page for items [item, item + items), which see the same `count` positions of it: a part of the page
// that fits the L1 cache for all items, then the next.
template <class X>
void PageForAll(float scale, const Workspace<X>& w, int64_t item, int64_t items, int64_t count,
                Upcoming& upcoming) {
  const int64_t steps = Blocks(w.key, kScoreBlock) + Blocks(w.value, kTilePanels * 16);
  const int64_t share = Blocks(kPageTokens, steps);
  const int64_t panels = Blocks(count, 16);
  for (int64_t first = 0; first < w.key; first += kScoreBlock) {
    upcoming.AskFor(share);
    int64_t panel = 0;
    for (; panel + kTilePanels <= panels; panel += kTilePanels)
      ScorePanelsForAll<X, kTilePanels>(w, item, items, first, panel);
    for (; panel < panels; ++panel) ScorePanelsForAll<X, 1>(w, item, items, first, panel);
  }
  Softmax(w, item, items, count, scale);
  int64_t column = 0;
  for (; column + kTilePanels * 16 <= w.value; column += kTilePanels * 16) {
    upcoming.AskFor(share);
    AddValuePanelsForAll<X, kTilePanels>(w, item, items, count, column);
  }
  for (; column < w.value; column += 16) AddValuePanelsForAll<X, 1>(w, item, items, count, column);
}

// out columns [column, column + dim) of `row` = the item's weighted mean of values.
template <class X>
void StoreItem(const Workspace<X>& w, int64_t item, int64_t dim, const Matrix& out, int64_t row,
               int64_t column) {
  const F16 inverse = Set1(1.0f / w.weight[item]);
  for (int64_t c = 0; c < dim; c += 16) {
    const F16 value = Mul(Load(w.sum + item * w.value + c), inverse);
    if (out.type == DType::kBF16) {
      StoreFirst(out.row<bf16>(row) + column + c, value, dim - c);
    } else {
      StoreFirst(out.row<float>(row) + column + c, value, dim - c);
    }
  }
}

}  // namespace
}  // namespace deeprack::kernels::DEEPRACK_SIMD
