// Multi-head latent attention over pages (kernels/api/attention.h).
//
// Floor: 2 * (2 * latent_dim + rope_dim) flops per query row, head and position, at one vector FMA (or one
// product of bf16 pairs) per cycle. All heads share a page's bytes, so memory is the bound only below about
// four heads.
//
// A task takes some query rows and heads of one sequence and walks the pages in order. A task lays out each
// page once for the products: positions in lanes for the scores, dimensions in lanes for the weighted sum of
// latents. Register blocks hold heads of one query row, which see the same positions, so the arithmetic of a
// (row, head) pair does not depend on the other pairs.
#include "base/check.h"
#include "kernels/cpu/attention_page.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/fp8_entries.h"

namespace deeprack::kernels::DEEPRACK_SIMD {
namespace {

// The division of query rows and heads into tasks. Results do not depend on the division.
struct Cut {
  int64_t rows, heads;  // per task
};
Cut ChooseCut(const MlaAttentionArgs& args, int64_t total_rows, int64_t threads) {
  const int64_t fair = Blocks(total_rows * args.heads, threads);
  // Twice as many rows and heads if there are enough tasks: half as many pages are laid out.
  const int64_t most = fair >= 8 * kItemsPerTask ? 2 * kItemsPerTask : kItemsPerTask;
  const int64_t items = Lower(most, Higher(8, fair));
  const int64_t heads = Lower(args.heads, items);
  return {Higher(1, items / heads), heads};
}

struct Task {
  const AttentionSequence* sequence;
  int64_t row, rows;  // of the sequence's chunk
  int64_t head, heads;
};

template <class T, class X>
void LoadQueries(const MlaAttentionArgs& args, const Task& task, const Workspace<X>& w) {
  for (int64_t r = 0; r < task.rows; ++r) {
    const int64_t row = task.sequence->first_row + task.row + r;
    for (int64_t h = 0; h < task.heads; ++h) {
      const int64_t head = task.head + h;
      X* query = w.query + (r * task.heads + h) * w.entry;
      CopyQuery(args.q_latent.row<const T>(row) + head * args.latent_dim, args.latent_dim, query);
      CopyQuery(args.q_rope.row<const T>(row) + head * args.q_rope_head_stride + args.q_rope_offset,
                args.rope_dim, query + args.latent_dim);
    }
  }
}

template <class T, class X>
void LoadPage(const MlaAttentionArgs& args, int64_t page, int64_t count, const Workspace<X>& w) {
  const int64_t stride = args.latent_dim + args.rope_dim;
  const T* entries = static_cast<const T*>(args.cache) + page * kPageTokens * stride;
  LoadKeys(entries, stride, count, w);
  LoadValues(entries, stride, args.latent_dim, count, w);
}

// LoadPage, sixteen positions at a time.
template <class X>
void LoadFp8Page(const MlaAttentionArgs& args, const Fp8KvPage& layout, int64_t page, int64_t count,
                 const Workspace<X>& w) {
  constexpr int64_t kRows = 16;
  auto* const rows = static_cast<bf16*>(Scratch(kTaskEntries, kRows * w.entry * int64_t{sizeof(bf16)}));
  for (int64_t first = 0; first < count; first += kRows) {
    const int64_t n = Lower(kRows, count - first);
    ExpandEntries(static_cast<const char*>(args.cache), layout, page * kPageTokens + first, n, rows, w.entry);
    Workspace<X> part = w;
    part.keys += first * w.entry;
    part.values += first * 16;
    LoadKeys(rows, w.entry, n, part);
    LoadValues(rows, w.entry, args.latent_dim, n, part);
  }
}

template <class X>
void StoreResults(const MlaAttentionArgs& args, const Task& task, const Workspace<X>& w) {
  for (int64_t r = 0; r < task.rows; ++r) {
    const int64_t row = task.sequence->first_row + task.row + r;
    for (int64_t h = 0; h < task.heads; ++h) {
      StoreItem(w, r * task.heads + h, args.latent_dim, args.out, row, (task.head + h) * args.latent_dim);
    }
  }
}

template <class X>
void RunTask(const MlaAttentionArgs& args, const Task& task) {
  const int64_t items = task.rows * task.heads;
  const auto w = Allocate<X>(args.latent_dim + args.rope_dim, args.latent_dim, items);
  if (args.q_latent.type == DType::kBF16) {
    LoadQueries<bf16>(args, task, w);
  } else if constexpr (sizeof(X) == sizeof(float)) {
    LoadQueries<float>(args, task, w);
  }

  const Fp8KvPage fp8 = {args.latent_dim, args.rope_dim};
  const bool narrow = args.cache_type == DType::kF8E4M3;
  const int64_t entry_bytes =
      narrow ? fp8.entry_bytes() : w.key * static_cast<int64_t>(SizeOf(args.cache_type));
  const int64_t page_bytes = narrow ? fp8.bytes() : kPageTokens * entry_bytes;
  const int64_t first_position = task.sequence->first_position + task.row;  // of the task's first row
  const int64_t end = first_position + task.rows;                           // past the last row's position
  for (int64_t begin = 0; begin < end; begin += kPageTokens) {
    const int64_t page = task.sequence->block_table[begin / kPageTokens];
    const int64_t loaded = Lower(kPageTokens, end - begin);
    if (narrow) {
      LoadFp8Page(args, fp8, page, loaded, w);
    } else if (args.cache_type == DType::kBF16) {
      LoadPage<bf16>(args, page, loaded, w);
    } else if constexpr (sizeof(X) == sizeof(float)) {
      LoadPage<float>(args, page, loaded, w);
    }
    Upcoming upcoming;
    if (begin + kPageTokens < end) {
      const int64_t next = task.sequence->block_table[begin / kPageTokens + 1];
      upcoming = {.keys = static_cast<const char*>(args.cache) + next * page_bytes,
                  .stride = entry_bytes,
                  .key_bytes = entry_bytes};
    }
    for (int64_t r = 0; r < task.rows; ++r) {
      const int64_t count = Lower(kPageTokens, first_position + r + 1 - begin);
      if (count <= 0) continue;
      PageForAll(args.scale, w, r * task.heads, task.heads, count, upcoming);
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
  DispatchPageType(args.q_latent.type, args.cache_type, [&](auto x) {
    ParallelFor(execution, count, [&args, tasks](int64_t i) { RunTask<decltype(x)>(args, tasks[i]); });
  });
}

}  // namespace deeprack::kernels::DEEPRACK_SIMD
