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
#include "kernels/cpu/attention_page.h"
#include "kernels/cpu/backend.h"

namespace deeprack::kernels::DEEPRACK_SIMD {
namespace {

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
        if (d < w.value) Store(w.values + (first + i) * w.value + d, rows[i]);
      }
      StoreTransposed(rows, panel + d * 16);
    }
  }
}

void StoreResults(const MlaAttentionArgs& args, const Task& task, const Workspace& w) {
  for (int64_t r = 0; r < task.rows; ++r) {
    const int64_t row = task.sequence->first_row + task.row + r;
    for (int64_t h = 0; h < task.heads; ++h) {
      StoreItem(w, r * task.heads + h, args.latent_dim, args.out, row, (task.head + h) * args.latent_dim);
    }
  }
}

void RunTask(const MlaAttentionArgs& args, const Task& task) {
  const int64_t items = task.rows * task.heads;
  const Workspace w = Allocate(args.latent_dim + args.rope_dim, args.latent_dim, items);
  if (args.q_latent.type == DType::kBF16) {
    LoadQueries<bf16>(args, task, w);
  } else {
    LoadQueries<float>(args, task, w);
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
      PageForAll(args.scale, w, r * task.heads, task.heads, count);
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
