// Grouped-query attention over pages (kernels/api/attention.h).
//
// Floor: 4 * head_dim flops per query row, head and position, at one vector FMA (or one product of bf16
// pairs) per cycle. A decode step reads every key and value once, 4 * kv_heads * head_dim bytes a position in
// bf16.
//
// A task takes some query rows of one sequence and the query heads of one key-value head, and walks the pages
// in order. A task lays out each page of that head once for the products.
#include "base/check.h"
#include "kernels/cpu/attention_page.h"
#include "kernels/cpu/backend.h"

namespace deeprack::kernels::DEEPRACK_SIMD {
namespace {

struct Task {
  const AttentionSequence* sequence;
  int64_t row, rows;  // of the sequence's chunk
  int64_t kv_head;
};

// Item = row * group + head within the group.
template <class T, class X>
void LoadQueries(const GqaAttentionArgs& args, const Task& task, int64_t group, const Workspace<X>& w) {
  for (int64_t r = 0; r < task.rows; ++r) {
    const T* heads =
        args.q.row<const T>(task.sequence->first_row + task.row + r) + task.kv_head * group * args.head_dim;
    for (int64_t h = 0; h < group; ++h) {
      CopyQuery(heads + h * args.head_dim, args.head_dim, w.query + (r * group + h) * w.entry);
    }
  }
}

template <class T, class X>
void LoadPage(const GqaAttentionArgs& args, const Task& task, int64_t page, int64_t count,
              const Workspace<X>& w) {
  const int64_t dim = args.head_dim;
  const int64_t stride = 2 * args.kv_heads * dim;
  const T* keys = static_cast<const T*>(args.cache) + page * kPageTokens * stride + task.kv_head * dim;
  LoadKeys(keys, stride, count, w);
  LoadValues(keys + args.kv_heads * dim, stride, dim, count, w);
}

template <class X>
void RunTask(const GqaAttentionArgs& args, const Task& task) {
  const int64_t group = args.heads / args.kv_heads;
  const auto w = Allocate<X>(args.head_dim, args.head_dim, task.rows * group);
  if (args.q.type == DType::kBF16) {
    LoadQueries<bf16>(args, task, group, w);
  } else if constexpr (sizeof(X) == sizeof(float)) {
    LoadQueries<float>(args, task, group, w);
  }

  const int64_t first_position = task.sequence->first_position + task.row;  // of the task's first row
  const int64_t end = first_position + task.rows;                           // past the last row's position
  for (int64_t begin = 0; begin < end; begin += kPageTokens) {
    const int64_t page = task.sequence->block_table[begin / kPageTokens];
    const int64_t loaded = Lower(kPageTokens, end - begin);
    if (args.cache_type == DType::kBF16) {
      LoadPage<bf16>(args, task, page, loaded, w);
    } else if constexpr (sizeof(X) == sizeof(float)) {
      LoadPage<float>(args, task, page, loaded, w);
    }
    Upcoming upcoming;
    if (begin + kPageTokens < end) {
      const auto element = static_cast<int64_t>(SizeOf(args.cache_type));
      const int64_t head_bytes = args.head_dim * element, side = args.kv_heads * head_bytes;
      const int64_t next = task.sequence->block_table[begin / kPageTokens + 1];
      const char* keys =
          static_cast<const char*>(args.cache) + next * kPageTokens * 2 * side + task.kv_head * head_bytes;
      upcoming = {.keys = keys,
                  .values = keys + side,
                  .stride = 2 * side,
                  .key_bytes = head_bytes,
                  .value_bytes = head_bytes};
    }
    // Rows that see a part of the page are taken one by one, rows that see all of it together.
    int64_t r = Higher(0, begin - first_position);
    for (; r < task.rows && first_position + r + 1 - begin < kPageTokens; ++r) {
      PageForAll(args.scale, w, r * group, group, first_position + r + 1 - begin, upcoming);
    }
    if (r < task.rows) PageForAll(args.scale, w, r * group, (task.rows - r) * group, kPageTokens, upcoming);
  }

  for (int64_t r = 0; r < task.rows; ++r) {
    for (int64_t h = 0; h < group; ++h) {
      StoreItem(w, r * group + h, args.head_dim, args.out, task.sequence->first_row + task.row + r,
                (task.kv_head * group + h) * args.head_dim);
    }
  }
}

}  // namespace

void GqaAttention(const GqaAttentionArgs& args, const Execution& execution) {
  if (args.heads == 0) return;
  DR_CHECK(args.kv_heads > 0 && args.heads % args.kv_heads == 0);
  const int64_t group = args.heads / args.kv_heads;
  int64_t total_rows = 0;
  for (int64_t s = 0; s < args.num_sequences; ++s) total_rows += args.sequences[s].rows;
  if (total_rows == 0) return;
  // Results do not depend on the number of rows in a task.
  const int64_t fair = Blocks(total_rows * args.kv_heads, ThreadCount(execution));
  const int64_t rows = Higher(1, Lower(kItemsPerTask / group, fair));
  int64_t count = 0;
  for (int64_t s = 0; s < args.num_sequences; ++s)
    count += Blocks(args.sequences[s].rows, rows) * args.kv_heads;
  Task* tasks = static_cast<Task*>(Scratch(kCallProducts, count * int64_t{sizeof(Task)}));
  int64_t index = 0;
  for (int64_t s = 0; s < args.num_sequences; ++s) {
    const AttentionSequence& sequence = args.sequences[s];
    for (int64_t row = sequence.rows - 1; row >= 0;
         row -= rows) {  // later rows see more pages: begin with them
      const int64_t first = Higher(0, row + 1 - rows);
      for (int64_t head = 0; head < args.kv_heads; ++head) {
        tasks[index++] = Task{&sequence, first, row + 1 - first, head};
      }
    }
  }
  DispatchPageType(args.q.type, args.cache_type, [&](auto x) {
    ParallelFor(execution, count, [&args, tasks](int64_t i) { RunTask<decltype(x)>(args, tasks[i]); });
  });
}

}  // namespace deeprack::kernels::DEEPRACK_SIMD
