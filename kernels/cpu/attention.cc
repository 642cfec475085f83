// Multi-head latent attention over pages (kernels/api/attention.h).
//
// Floor: 2 * (2 * latent_dim + rope_dim) flops per query row, head and position, at one vector FMA per cycle;
// a page's bytes serve all heads, so memory matters only below about four heads.
//
// A task takes some query rows and heads of one sequence and walks the pages in order. A page is expanded to
// fp32 once per task: transposed (positions in lanes) for the scores and as it lies for the weighted sum of
// latents. Register blocks hold heads of one query row, which see the same positions, so that each (row,
// head)'s arithmetic is what it would be alone.
#include "base/check.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/micro_kernel.h"

namespace deeprack::kernels::DEEPRACK_SIMD {
namespace {

constexpr int64_t kPositionPanels = kPageTokens / 16;
constexpr int64_t kScoreBlock = 128;
constexpr int64_t kItemsPerTask =
    64;  // (row, head) pairs: amortise a page's expansion, and stay in the L2 cache

int64_t RoundUp16(int64_t n) { return (n + 15) / 16 * 16; }
int64_t Blocks(int64_t n, int64_t block) { return (n + block - 1) / block; }

// How query rows and heads are cut into tasks. Results do not depend on it.
struct Cut {
  int64_t rows, heads;  // per task
};
Cut ChooseCut(const MlaAttentionArgs& args, int64_t total_rows, int64_t threads) {
  const int64_t fair = Blocks(total_rows * args.heads, threads);
  const int64_t items = Lower(kItemsPerTask, Higher(8, fair));
  const int64_t heads = Lower(args.heads, items);
  return {Higher(1, items / heads), heads};
}

struct Task {
  const AttentionSequence* sequence;
  int64_t row, rows;  // of the sequence's chunk
  int64_t head, heads;
};

// A task's working memory, all fp32. Item = row * heads + head, within the task.
struct Workspace {
  int64_t entry;      // latent_dim + rope_dim, rounded up to 16
  int64_t latent;     // latent_dim, rounded up to 16
  float* query;       // [items, entry]: latent | rope
  float* sum;         // [items, latent]: weighted sum of latents so far
  float* scores;      // [items, kPageTokens]: of the page at hand, then its weights
  float* maximum;     // [items]: largest score so far
  float* weight;      // [items]: sum of weights so far, relative to the maximum
  float* correction;  // [items]: what the page's new maximum scales the old sums by
  float* transposed;  // [kPositionPanels, entry, 16]
  float* latents;     // [kPageTokens, latent]
};

Workspace Allocate(const MlaAttentionArgs& args, int64_t items) {
  Workspace w;
  w.entry = RoundUp16(args.latent_dim + args.rope_dim);
  w.latent = RoundUp16(args.latent_dim);
  const int64_t per_item = w.entry + w.latent + kPageTokens;
  float* memory = static_cast<float*>(
      Scratch(kTaskQuery, (items * per_item + 3 * RoundUp16(items)) * int64_t{sizeof(float)}));
  w.query = memory;
  w.sum = w.query + items * w.entry;
  w.scores = w.sum + items * w.latent;
  w.maximum = w.scores + items * kPageTokens;
  w.weight = w.maximum + RoundUp16(items);
  w.correction = w.weight + RoundUp16(items);
  w.transposed =
      static_cast<float*>(Scratch(kTaskPage, kPageTokens * (w.entry + w.latent) * int64_t{sizeof(float)}));
  w.latents = w.transposed + kPageTokens * w.entry;
  return w;
}

template <class T>
void CopyAsFloat(const T* from, int64_t count, float* to) {
  for (int64_t c = 0; c < count; c += 16) StoreFirst(to + c, LoadFirst(from + c, count - c), count - c);
}

template <class T>
void LoadQueries(const MlaAttentionArgs& args, const Task& task, const Workspace& w) {
  for (int64_t r = 0; r < task.rows; ++r) {
    const int64_t row = task.sequence->first_row + task.row + r;
    for (int64_t h = 0; h < task.heads; ++h) {
      const int64_t head = task.head + h;
      float* query = w.query + (r * task.heads + h) * w.entry;
      CopyAsFloat(args.q_latent.row<const T>(row) + head * args.latent_dim, args.latent_dim, query);
      CopyAsFloat(args.q_rope.row<const T>(row) + head * args.q_rope_head_stride + args.q_rope_offset,
                  args.rope_dim, query + args.latent_dim);
    }
  }
}

// Expands the first `count` entries of a page; positions up to the next multiple of 16 become zeros.
template <class T>
void LoadPage(const T* page, int64_t count, const MlaAttentionArgs& args, const Workspace& w) {
  const int64_t dim = args.latent_dim + args.rope_dim;
  for (int64_t first = 0; first < count; first += 16) {
    float* panel = w.transposed + first * w.entry;
    for (int64_t d = 0; d < dim; d += 16) {
      F16 rows[16];
#pragma GCC unroll 16
      for (int64_t i = 0; i < 16; ++i) {
        rows[i] = first + i < count ? LoadFirst(page + (first + i) * dim + d, dim - d) : Set1(0.0f);
        if (d < w.latent) Store(w.latents + (first + i) * w.latent + d, rows[i]);
      }
      StoreTransposed(rows, panel + d * 16);
    }
  }
}

// scores of R heads at the positions of panels [panel, panel + P). Sums run over 128 dimensions at a time,
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

// scores of R heads at the first `count` positions.
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
void AddLatentPanels(const float* const* weights, const float* correction, int64_t count, const Workspace& w,
                     int64_t column, float* sum) {
  Accumulators<R, P> acc;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
      acc.v[r][p] = Mul(Load(sum + r * w.latent + column + p * 16), Set1(correction[r]));
    }
  }
  Accumulate<float, R, P>(weights, 0, count, w.latents + column, 16, w.latent, acc);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) Store(sum + r * w.latent + column + p * 16, acc.v[r][p]);
  }
}

// One page for R heads of one query row, items [item, item + R).
template <int R>
void PageForHeads(const MlaAttentionArgs& args, const Workspace& w, int64_t item, int64_t count) {
  const float* query[R];
  const float* weights[R];
  for (int r = 0; r < R; ++r) {
    query[r] = w.query + (item + r) * w.entry;
    weights[r] = w.scores + (item + r) * kPageTokens;
  }
  Scores<R>(query, args.latent_dim + args.rope_dim, count, w, w.scores + item * kPageTokens);
  for (int r = 0; r < R; ++r) Softmax(w, item + r, count, args.scale);
  float* sum = w.sum + item * w.latent;
  int64_t column = 0;
  for (; column + kTilePanels * 16 <= w.latent; column += kTilePanels * 16) {
    AddLatentPanels<R, kTilePanels>(weights, w.correction + item, count, w, column, sum);
  }
  for (; column < w.latent; column += 16)
    AddLatentPanels<R, 1>(weights, w.correction + item, count, w, column, sum);
}

template <int R>
void PageForHeadsOrLess(const MlaAttentionArgs& args, const Workspace& w, int64_t item, int64_t heads,
                        int64_t count) {
  if constexpr (R > 0) {
    if (heads == R) return PageForHeads<R>(args, w, item, count);
    PageForHeadsOrLess<R - 1>(args, w, item, heads, count);
  }
}

void StoreResults(const MlaAttentionArgs& args, const Task& task, const Workspace& w) {
  for (int64_t r = 0; r < task.rows; ++r) {
    const int64_t row = task.sequence->first_row + task.row + r;
    for (int64_t h = 0; h < task.heads; ++h) {
      const int64_t item = r * task.heads + h;
      const int64_t first = (task.head + h) * args.latent_dim;
      for (int64_t c = 0; c < args.latent_dim; c += 16) {
        const F16 value = Div(Load(w.sum + item * w.latent + c), Set1(w.weight[item]));
        if (args.out.type == DType::kBF16) {
          StoreFirst(args.out.row<bf16>(row) + first + c, value, args.latent_dim - c);
        } else {
          StoreFirst(args.out.row<float>(row) + first + c, value, args.latent_dim - c);
        }
      }
    }
  }
}

void RunTask(const MlaAttentionArgs& args, const Task& task) {
  const int64_t items = task.rows * task.heads;
  const Workspace w = Allocate(args, items);
  if (args.q_latent.type == DType::kBF16) {
    LoadQueries<bf16>(args, task, w);
  } else {
    LoadQueries<float>(args, task, w);
  }
  for (int64_t i = 0; i < items * w.latent; i += 16) Store(w.sum + i, Set1(0.0f));
  for (int64_t i = 0; i < items; ++i) {
    w.maximum[i] = -__builtin_inff();
    w.weight[i] = 0;
  }

  const int64_t first_position = task.sequence->first_position + task.row;  // of the task's first row
  const int64_t end = first_position + task.rows;                           // past the last row's position
  const int64_t page_values = kPageTokens * (args.latent_dim + args.rope_dim);
  for (int64_t begin = 0; begin < end; begin += kPageTokens) {
    const int64_t page = task.sequence->block_table[begin / kPageTokens];
    const int64_t loaded = Lower(kPageTokens, end - begin);
    if (args.cache_type == DType::kBF16) {
      LoadPage(static_cast<const bf16*>(args.cache) + page * page_values, loaded, args, w);
    } else {
      LoadPage(static_cast<const float*>(args.cache) + page * page_values, loaded, args, w);
    }
    for (int64_t r = 0; r < task.rows; ++r) {
      const int64_t count = Lower(kPageTokens, first_position + r + 1 - begin);
      if (count <= 0) continue;
      for (int64_t h = 0; h < task.heads; h += kTileRows) {
        PageForHeadsOrLess<kTileRows>(args, w, r * task.heads + h, Lower(kTileRows, task.heads - h), count);
      }
    }
  }
  StoreResults(args, task, w);
}

}  // namespace

void MlaAttention(const MlaAttentionArgs& args, const Execution& execution) {
  DR_CHECK(args.q_latent.type == args.q_rope.type);
  int64_t total_rows = 0;
  for (int64_t s = 0; s < args.num_sequences; ++s) total_rows += args.sequences[s].rows;
  if (total_rows == 0 || args.heads == 0) return;
  const Cut cut = ChooseCut(args, total_rows, ThreadCount(execution));
  const int64_t head_blocks = Blocks(args.heads, cut.heads);
  int64_t count = 0;
  for (int64_t s = 0; s < args.num_sequences; ++s)
    count += Blocks(args.sequences[s].rows, cut.rows) * head_blocks;
  Task* tasks = static_cast<Task*>(Scratch(kCallProducts, count * int64_t{sizeof(Task)}));
  int64_t index = 0;
  for (int64_t s = 0; s < args.num_sequences; ++s) {
    const AttentionSequence& sequence = args.sequences[s];
    for (int64_t row = sequence.rows - 1; row >= 0;
         row -= cut.rows) {  // later rows see more pages: begin with them
      const int64_t first = Higher(0, row + 1 - cut.rows);
      for (int64_t head = 0; head < args.heads; head += cut.heads) {
        tasks[index++] = Task{&sequence, first, row + 1 - first, head, Lower(cut.heads, args.heads - head)};
      }
    }
  }
  ParallelFor(execution, count, [&args, tasks](int64_t i) { RunTask(args, tasks[i]); });
}

}  // namespace deeprack::kernels::DEEPRACK_SIMD
