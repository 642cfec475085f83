// Attention of a group of queries to one page of keys and values, for latent and grouped-query attention. An
// item is a (query row, head) pair. An item's arithmetic does not depend on the other items.
//
// X is the type in which queries and pages are multiplied. X = float: both are converted to fp32. X = bf16:
// the processor multiplies pairs of bf16 and both are bf16 already. That is twice as fast, and the softmax
// weights are rounded to bf16.
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
// Items of a task: enough to amortise the expansion of a page, few enough to stay in the L2 cache.
constexpr int64_t kItemsPerTask = 64;

int64_t RoundUp16(int64_t n) { return (n + 15) / 16 * 16; }
int64_t RoundUp32(int64_t n) { return (n + 31) / 32 * 32; }
int64_t Blocks(int64_t n, int64_t block) { return (n + block - 1) / block; }

// Calls f(X{}) with the type X for queries of type `query` and a cache of type `cache`.
template <class F>
void DispatchPageType(DType query, DType cache, F f) {
#if DEEPRACK_SIMD_LEVEL >= 3
  if (query == DType::kBF16 && (cache == DType::kBF16 || cache == DType::kF8E4M3)) return f(bf16{});
#endif
  f(float{});
}

// The working memory of a task. Item = row * heads + head, within the task.
template <class X>
struct Workspace {
  using Tile = TileElement<X>;

  int64_t key;        // dimensions of a key
  int64_t entry;      // dimensions of a key, rounded up to 32
  int64_t value;      // dimensions of a value, rounded up to 16
  X* query;           // [items, entry]
  X* weights;         // [items, kPageTokens]: the page's softmax weights, relative to the maximum
  float* scores;      // [items, kPageTokens]: the page's scores
  float* sum;         // [items, value]: weighted sum of values so far
  float* maximum;     // [items]: largest score so far
  float* weight;      // [items]: sum of weights so far, relative to the maximum
  float* added;       // [items]: sum of the page's weights
  float* correction;  // [items]: factor of the old sums for the page's new maximum
  Tile* keys;         // [kPositionPanels, entry, 16]: positions in lanes
  Tile* values;       // [value / 16, kPageTokens, 16]: dimensions in lanes; room for an even number of panels
};

// A workspace before the first page.
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

// A register of a key's dimensions: the first `count` of them, then zeros.
template <class T>
F16 LoadKeyPart(const T* key, int64_t count, float) {
  return LoadFirst(key, count);
}
#if DEEPRACK_SIMD_LEVEL >= 3
F16 LoadKeyPart(const bf16* key, int64_t count, bf16) { return LoadWords(key, count); }
#endif

// Copies the first `count` keys of a page, `stride` elements apart, to w.keys. Positions up to the next
// multiple of 16 become zeros. Registers are transposed in units of 32 bits: one fp32 dimension or two bf16
// dimensions.
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
// Pairs of positions. A last position without a partner is paired with zeros.
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

// Calls f.operator()<R>(first) for blocks of R <= kTileRows items until all `items` are done. R does not
// change results.
template <int R = kTileRows, class F>
void ForItemBlocks(int64_t items, F f, int64_t first = 0) {
  for (; first + R <= items; first += R) f.template operator()<R>(first);
  if constexpr (R > 1) {
    if (first < items) ForItemBlocks<R - 1>(items, f, first);
  }
}

// Adds dimensions [first, first + kScoreBlock) to the scores of R items at the positions of panels
// [panel, panel + P). Blocks of dimensions keep a digit that one sum over all 576 would lose.
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

// Turns the scores of a page into weights relative to the new maximum. The sum of weights is of the weights
// as they multiply values, so of rounded weights where X is bf16.
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

// The next page. Each step of the current page prefetches a few positions of the next page, since the
// processor does not prefetch strides of a thousand bytes well.
struct Upcoming {
  const char* keys = nullptr;  // null: none
  const char* values = nullptr;
  int64_t stride = 0;  // bytes from position to position
  int64_t key_bytes = 0;
  int64_t value_bytes = 0;
  int64_t asked = 0;  // positions prefetched so far

  void AskFor(int64_t positions) {
    if (keys == nullptr) return;
    for (; positions > 0 && asked < kPageTokens; --positions, ++asked) {
      for (int64_t i = 0; i < key_bytes; i += 64) __builtin_prefetch(keys + asked * stride + i, 0, 3);
      for (int64_t i = 0; i < value_bytes; i += 64) __builtin_prefetch(values + asked * stride + i, 0, 3);
    }
  }
};

// Attends items [item, item + items) to `count` positions of one page, which all of these items see. All
// items use one part of the page, which fits the L1 cache, before the next part.
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
