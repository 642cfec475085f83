// One page of keys and values for a group of queries: what latent and grouped-query attention have in common.
// A (query row, head) pair is an item; its arithmetic is what it would be alone.
#pragma once

#include "base/ids.h"
#include "kernels/api/matrix.h"
#include "kernels/cpu/micro_kernel.h"

namespace deeprack::kernels::DEEPRACK_SIMD {
namespace {

constexpr int64_t kPositionPanels = kPageTokens / 16;
constexpr int64_t kScoreBlock = 128;
// (row, head) pairs of a task: amortise a page's expansion, and stay in the L2 cache.
constexpr int64_t kItemsPerTask = 64;

int64_t RoundUp16(int64_t n) { return (n + 15) / 16 * 16; }
int64_t Blocks(int64_t n, int64_t block) { return (n + block - 1) / block; }

// A task's working memory, all fp32. Item = row * heads + head, within the task.
struct Workspace {
  int64_t key;        // dimensions of a key
  int64_t entry;      // the same, rounded up to 16
  int64_t value;      // dimensions of a value, rounded up to 16
  float* query;       // [items, entry]
  float* sum;         // [items, value]: weighted sum of values so far
  float* scores;      // [items, kPageTokens]: of the page at hand, then its weights
  float* maximum;     // [items]: largest score so far
  float* weight;      // [items]: sum of weights so far, relative to the maximum
  float* correction;  // [items]: what the page's new maximum scales the old sums by
  float* transposed;  // [kPositionPanels, entry, 16]
  float* values;      // [kPageTokens, value]
};

// With nothing attended to yet.
Workspace Allocate(int64_t key_dim, int64_t value_dim, int64_t items) {
  Workspace w;
  w.key = key_dim;
  w.entry = RoundUp16(key_dim);
  w.value = RoundUp16(value_dim);
  const int64_t per_item = w.entry + w.value + kPageTokens;
  float* memory = static_cast<float*>(
      Scratch(kTaskQuery, (items * per_item + 3 * RoundUp16(items)) * int64_t{sizeof(float)}));
  w.query = memory;
  w.sum = w.query + items * w.entry;
  w.scores = w.sum + items * w.value;
  w.maximum = w.scores + items * kPageTokens;
  w.weight = w.maximum + RoundUp16(items);
  w.correction = w.weight + RoundUp16(items);
  w.transposed =
      static_cast<float*>(Scratch(kTaskPage, kPageTokens * (w.entry + w.value) * int64_t{sizeof(float)}));
  w.values = w.transposed + kPageTokens * w.entry;
  for (int64_t i = 0; i < items * w.value; i += 16) Store(w.sum + i, Set1(0.0f));
  for (int64_t i = 0; i < items; ++i) {
    w.maximum[i] = -__builtin_inff();
    w.weight[i] = 0;
  }
  return w;
}

template <class T>
void CopyAsFloat(const T* from, int64_t count, float* to) {
  for (int64_t c = 0; c < count; c += 16) StoreFirst(to + c, LoadFirst(from + c, count - c), count - c);
}

// scores of R items at the positions of panels [panel, panel + P). Sums run over 128 dimensions at a time,
// which are then added up: one chain over all 576 would cost a digit.
template <int R, int P>
void ScorePanels(const float* const* query, int64_t dim, const Workspace& w, int64_t panel, float* scores) {
  for (int64_t first = 0; first < dim; first += kScoreBlock) {
    Accumulators<R, P> acc;
    Clear(acc);
    Accumulate<float, R, P>(query, first, Lower(kScoreBlock, dim - first),
                            w.transposed + (panel * w.entry + first) * 16, w.entry * 16, 16, acc);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
        float* score = scores + r * kPageTokens + (panel + p) * 16;
        Store(score, first == 0 ? acc.v[r][p] : Add(Load(score), acc.v[r][p]));
      }
    }
  }
}

// scores of R items at the first `count` positions.
template <int R>
void Scores(const float* const* query, int64_t dim, int64_t count, const Workspace& w, float* scores) {
  const int64_t panels = Blocks(count, 16);
  int64_t panel = 0;
  for (; panel + kTilePanels <= panels; panel += kTilePanels)
    ScorePanels<R, kTilePanels>(query, dim, w, panel, scores);
  for (; panel < panels; ++panel) ScorePanels<R, 1>(query, dim, w, panel, scores);
}

// Turns an item's scores of a page into weights relative to the new maximum.
void Softmax(const Workspace& w, int64_t item, int64_t count, float scale) {
  float* scores = w.scores + item * kPageTokens;
  for (int64_t i = count; i < kPageTokens; ++i) scores[i] = -__builtin_inff();
  F16 values[kPositionPanels];
  F16 largest = Set1(-__builtin_inff());
  for (int64_t p = 0; p < kPositionPanels; ++p) {
    values[p] = Mul(Load(scores + p * 16), Set1(scale));
    largest = Max(largest, values[p]);
  }
  const float page_maximum = MaxLanes(largest);
  const float maximum = w.maximum[item] > page_maximum ? w.maximum[item] : page_maximum;
  F16 sum = Set1(0.0f);
  for (int64_t p = 0; p < kPositionPanels; ++p) {
    const F16 weight = Exp(Sub(values[p], Set1(maximum)));
    Store(scores + p * 16, weight);
    sum = Add(sum, weight);
  }
  float correction[16];
  Store(correction, Exp(Set1(w.maximum[item] - maximum)));
  w.correction[item] = correction[0];
  w.weight[item] = w.weight[item] * correction[0] + SumLanes(sum);
  w.maximum[item] = maximum;
}

template <int R, int P>
void AddValuePanels(const float* const* weights, const float* correction, int64_t count, const Workspace& w,
                    int64_t column, float* sum) {
  Accumulators<R, P> acc;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
      acc.v[r][p] = Mul(Load(sum + r * w.value + column + p * 16), Set1(correction[r]));
    }
  }
  Accumulate<float, R, P>(weights, 0, count, w.values + column, 16, w.value, acc);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) Store(sum + r * w.value + column + p * 16, acc.v[r][p]);
  }
}

// One page for items [item, item + R), which see the same `count` positions of it.
template <int R>
void PageForItems(float scale, const Workspace& w, int64_t item, int64_t count) {
  const float* query[R];
  const float* weights[R];
  for (int r = 0; r < R; ++r) {
    query[r] = w.query + (item + r) * w.entry;
    weights[r] = w.scores + (item + r) * kPageTokens;
  }
  Scores<R>(query, w.key, count, w, w.scores + item * kPageTokens);
  for (int r = 0; r < R; ++r) Softmax(w, item + r, count, scale);
  float* sum = w.sum + item * w.value;
  int64_t column = 0;
  for (; column + kTilePanels * 16 <= w.value; column += kTilePanels * 16) {
    AddValuePanels<R, kTilePanels>(weights, w.correction + item, count, w, column, sum);
  }
  for (; column < w.value; column += 16)
    AddValuePanels<R, 1>(weights, w.correction + item, count, w, column, sum);
}

template <int R>
void PageForItemsOrLess(float scale, const Workspace& w, int64_t item, int64_t items, int64_t count) {
  if constexpr (R > 0) {
    if (items == R) return PageForItems<R>(scale, w, item, count);
    PageForItemsOrLess<R - 1>(scale, w, item, items, count);
  }
}

// One page for items [item, item + items), which see the same `count` positions of it. How many share a
// register block changes no bit.
void PageForAll(float scale, const Workspace& w, int64_t item, int64_t items, int64_t count) {
  for (int64_t i = 0; i < items; i += kTileRows)
    PageForItemsOrLess<kTileRows>(scale, w, item + i, Lower(kTileRows, items - i), count);
}

// out columns [column, column + dim) of `row` = the item's weighted mean of values.
void StoreItem(const Workspace& w, int64_t item, int64_t dim, const Matrix& out, int64_t row,
               int64_t column) {
  for (int64_t c = 0; c < dim; c += 16) {
    const F16 value = Div(Load(w.sum + item * w.value + c), Set1(w.weight[item]));
    if (out.type == DType::kBF16) {
      StoreFirst(out.row<bf16>(row) + column + c, value, dim - c);
    } else {
      StoreFirst(out.row<float>(row) + column + c, value, dim - c);
    }
  }
}

}  // namespace
}  // namespace deeprack::kernels::DEEPRACK_SIMD
