// Latent attention with expanded keys and values (kernels/api/expanded_attention.h).
//
// Floor: 2 * (nope_dim + rope_dim + value_dim) flops per query row, head and position, and 2 * (nope_dim +
// value_dim) * latent_dim flops a head for each position of a chunk's context, at one vector FMA (or one
// product of bf16 pairs) per cycle. For R1 that is 640 and 262 thousand, so expanding pays from about 170
// rows on.
//
// A task takes one head and some rows of one sequence. A task walks the context in spans whose keys and
// values stay in the L2 cache. For each span the task expands keys and values in the layout of
// attention_page.h, then attends its rows to them. Register blocks hold rows, which may see different numbers
// of positions of their last page. A row's arithmetic does not depend on the other rows.
#include "base/check.h"
#include "kernels/cpu/attention_page.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/fp8_entries.h"

namespace deeprack::kernels::DEEPRACK_SIMD {
namespace {

constexpr int64_t kSpanPages = 8;
constexpr int64_t kTileColumns =
    128;  // columns of a product at a time, which stay in the L1 cache for all rows
// The least rows of a task if there are enough tasks: each task expands its whole context.
constexpr int64_t kFewestRows = 256;

struct Task {
  const AttentionSequence* sequence;
  int64_t row, rows;  // of the sequence's chunk
  int64_t head;
};

template <class X>
struct Head {
  using Tile = TileElement<X>;

  Workspace<X> rows;    // queries and results of all the task's rows; the rest serves kItemsPerTask of them
  int64_t latent;       // dimensions, rounded up to 32
  X* key_weights;       // [nope_dim, latent]
  Tile* value_weights;  // [value_dim / 16, latent, 16]
  Tile* keys;           // of the span's pages, each as in Workspace
  Tile* values;
  Tile* latents;  // of a page: [kPositionPanels, latent, 16], positions in lanes
  X* entries;     // of a page, where the cache has another type: [kPageTokens, latent_dim + rope_dim]
  float* totals;  // of a product under way: [rows, kTilePanels, 16]
  bf16* panel;    // one panel of it, rounded: [rows, 16]

  int64_t page_keys() const { return kPageTokens * rows.entry; }
  int64_t page_values() const { return kPageTokens * rows.value; }
};

// Counts the bytes it gives out. Gives null pointers while there is no memory.
struct Memory {
  char* base = nullptr;
  int64_t used = 0;

  template <class T>
  T* Take(int64_t count) {
    char* const taken = base == nullptr ? nullptr : base + used;
    used += (count * int64_t{sizeof(T)} + 63) / 64 * 64;
    return reinterpret_cast<T*>(taken);
  }
};

template <class X>
Head<X> Cut(const ExpandedShape& shape, int64_t rows, Memory& memory) {
  using Tile = TileElement<X>;
  Head<X> head;
  Workspace<X>& w = head.rows;
  w.key = shape.query_dim();
  w.entry = RoundUp32(shape.nope_dim + RoundUp32(shape.rope_dim));  // room for whole registers of rope
  w.value = RoundUp16(shape.value_dim);
  head.latent = RoundUp32(shape.latent_dim);
  w.query = memory.Take<X>(rows * w.entry);
  w.sum = memory.Take<float>(rows * w.value);
  w.maximum = memory.Take<float>(RoundUp16(rows));
  w.weight = memory.Take<float>(RoundUp16(rows));
  w.added = memory.Take<float>(kItemsPerTask);
  w.correction = memory.Take<float>(kItemsPerTask);
  w.weights = memory.Take<X>(kItemsPerTask * kPageTokens);
  w.scores = memory.Take<float>(kItemsPerTask * kPageTokens);
  head.key_weights = memory.Take<X>(shape.nope_dim * head.latent);
  head.value_weights = memory.Take<Tile>(w.value * head.latent);
  head.keys = memory.Take<Tile>(kSpanPages * head.page_keys());
  head.values = memory.Take<Tile>(kSpanPages * head.page_values());
  head.latents = memory.Take<Tile>(kPageTokens * head.latent);
  head.entries = memory.Take<X>(kPageTokens * (shape.latent_dim + shape.rope_dim));
  const int64_t product_rows = Higher(shape.nope_dim, kPageTokens);
  head.totals = memory.Take<float>(product_rows * kTilePanels * 16);
  head.panel = memory.Take<bf16>(product_rows * 16);
  return head;
}

template <class X>
Head<X> Allocate(const ExpandedShape& shape, int64_t rows) {
  Memory count, memory;
  Cut<X>(shape, rows, count);
  memory.base = static_cast<char*>(Scratch(kTaskQuery, count.used));
  const Head<X> head = Cut<X>(shape, rows, memory);
  for (int64_t i = 0; i < rows * head.rows.value; i += 16) Store(head.rows.sum + i, Set1(0.0f));
  for (int64_t i = 0; i < rows; ++i) {
    head.rows.maximum[i] = -__builtin_inff();
    head.rows.weight[i] = 0;
  }
  return head;
}

// The workspace of rows from `first` on, as items of their own.
template <class X>
Workspace<X> From(Workspace<X> w, int64_t first) {
  w.query += first * w.entry;
  w.sum += first * w.value;
  w.maximum += first;
  w.weight += first;
  return w;
}

// Expands a panel's columns for products.
template <class T>
void LayColumns(const T* from, int64_t columns, float* to) {
  for (int64_t k = 0; k < columns; ++k) Store(to + k * 16, Load(from + k * 16));
}
#if DEEPRACK_SIMD_LEVEL >= 3
void LayColumns(const bf16* from, int64_t columns, PairElement* to) { ExpandColumns(from, columns, to); }
#endif

// Expands both matrices of a head: [latent_dim, nope_dim] transposed, and [value_dim, latent_dim].
template <class T, class X>
void LayWeights(const PackedWeight& key, const PackedWeight& value, const Head<X>& head) {
  for (int64_t panel = 0; panel < key.panels(); ++panel) {
    const T* const from = static_cast<const T*>(key.data) + panel * key.k * kPanelRows;
    for (int64_t d = 0; d < key.k; ++d)
      Store(head.key_weights + d * head.latent + panel * kPanelRows, Load(from + d * kPanelRows));
  }
  for (int64_t panel = 0; panel < value.panels(); ++panel) {
    LayColumns(static_cast<const T*>(value.data) + panel * value.k * kPanelRows, value.k,
               head.value_weights + panel * head.latent * kPanelRows);
  }
}

// totals[row][p] = sum over k ascending of x[row][k] * tile_p[k].
template <class X, int P>
void MultiplyPanels(const X* x, int64_t stride, int64_t rows, int64_t k, const TileElement<X>* tile,
                    int64_t panel_stride, float* totals) {
  for (int64_t first = 0; first < k; first += kTileColumns) {
    ForItemBlocks(rows, [&]<int R>(int64_t row) {
      const X* block[R];
      for (int r = 0; r < R; ++r) block[r] = x + (row + r) * stride;
      float* const sums = totals + row * P * 16;
      Accumulators<R, P> acc;
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p) acc.v[r][p] = first == 0 ? Set1(0.0f) : Load(sums + (r * P + p) * 16);
      }
      Accumulate<TileElement<X>, R, P>(block, first, Lower(kTileColumns, k - first), tile + first * 16,
                                       panel_stride, acc);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p) Store(sums + (r * P + p) * 16, acc.v[r][p]);
      }
    });
  }
}

// Rounds one panel of a product to `type` and transposes it.
template <class X>
void LayPanel(const float* totals, int64_t stride, int64_t rows, DType type, const Head<X>& head,
              TileElement<X>* to) {
  if (type == DType::kBF16) {
    for (int64_t r = 0; r < rows; ++r) Store(head.panel + r * 16, Load(totals + r * stride));
    LayColumns(head.panel, rows, to);
  } else if constexpr (sizeof(X) == sizeof(float)) {
    for (int64_t r = 0; r < rows; ++r) Store(to + r * 16, Load(totals + r * stride));
  }
}

template <class X, int P>
void ExpandPanels(const X* x, int64_t stride, int64_t rows, int64_t k, const TileElement<X>* tile, DType type,
                  const Head<X>& head, TileElement<X>* to, int64_t to_stride) {
  MultiplyPanels<X, P>(x, stride, rows, k, tile, head.latent * 16, head.totals);
  for (int p = 0; p < P; ++p) LayPanel(head.totals + p * 16, P * 16, rows, type, head, to + p * to_stride);
}

// Multiplies x's rows with `panels` panels of a tile, rounds the result to `type` and transposes it.
template <class X>
void Expand(const X* x, int64_t stride, int64_t rows, int64_t k, const TileElement<X>* tile, int64_t panels,
            DType type, const Head<X>& head, TileElement<X>* to, int64_t to_stride) {
  const int64_t tile_stride = head.latent * 16;
  int64_t panel = 0;
  for (; panel + kTilePanels <= panels; panel += kTilePanels) {
    ExpandPanels<X, kTilePanels>(x, stride, rows, k, tile + panel * tile_stride, type, head,
                                 to + panel * to_stride, to_stride);
  }
  for (; panel < panels; ++panel) {
    ExpandPanels<X, 1>(x, stride, rows, k, tile + panel * tile_stride, type, head, to + panel * to_stride,
                       to_stride);
  }
}

[[maybe_unused]] const bf16* EntriesAs(const bf16* entries, int64_t, bf16*) { return entries; }
[[maybe_unused]] const float* EntriesAs(const float* entries, int64_t, float*) { return entries; }
[[maybe_unused]] const float* EntriesAs(const bf16* entries, int64_t count, float* room) {
  CopyQuery(entries, count, room);
  return room;
}

// Expands keys and values of `count` positions whose entries are contiguous.
template <class T, class X>
void ExpandPage(const ExpandedAttentionArgs& args, const T* cached, int64_t count, const Head<X>& head,
                TileElement<X>* keys, TileElement<X>* values) {
  const ExpandedShape& shape = args.shape;
  const int64_t stride = shape.latent_dim + shape.rope_dim;
  const X* const entries = EntriesAs(cached, count * stride, head.entries);
  Workspace<X> lanes = head.rows;
  lanes.key = shape.latent_dim;
  lanes.entry = head.latent;
  lanes.keys = head.latents;
  LoadKeys(entries, stride, count, lanes);
  Expand(head.key_weights, head.latent, shape.nope_dim, shape.latent_dim, head.latents, Blocks(count, 16),
         args.q.type, head, keys, head.rows.entry * 16);
  lanes.key = shape.rope_dim;
  lanes.entry = head.rows.entry;
  lanes.keys = keys + shape.nope_dim * 16;
  LoadKeys(entries + shape.latent_dim, stride, count, lanes);
  Expand(entries, stride, count, shape.latent_dim, head.value_weights, head.rows.value / 16, args.q.type,
         head, values, kPageTokens * 16);
}

// Adds values [first, count) of the page to sums that are already scaled. `first` is even.
template <class X, int P>
void AddLastValues(const Workspace<X>& w, int64_t item, int64_t first, int64_t count, int64_t column) {
  const X* weights[1] = {w.weights + item * kPageTokens};
  float* const sum = w.sum + item * w.value + column;
  Accumulators<1, P> acc;
  for (int p = 0; p < P; ++p) acc.v[0][p] = Load(sum + p * 16);
  Accumulate<TileElement<X>, 1, P>(weights, first, count - first,
                                   w.values + column * kPageTokens + first * 16, kPageTokens * 16, acc);
  for (int p = 0; p < P; ++p) Store(sum + p * 16, acc.v[0][p]);
}

// Item i sees the first seen(i) positions; seen(i) grows with i. The positions that the first item of a block
// sees are taken for the whole block, the other positions item by item.
template <class X, int P, class Seen>
void AddCausalValues(const Workspace<X>& w, int64_t items, Seen seen, int64_t column) {
  ForItemBlocks(items, [&]<int R>(int64_t i) {
    const int64_t shared = seen(i) / 2 * 2;
    AddValuePanels<X, R, P>(w, i, shared, column);
    for (int64_t r = i; r < i + R; ++r) {
      if (seen(r) > shared) AddLastValues<X, P>(w, r, shared, seen(r), column);
    }
  });
}

// Attends `items` rows to one page. The first row sees `count` positions; each later row sees one more, up to
// the whole page.
template <class X>
void PageForRows(float scale, const Workspace<X>& w, int64_t items, int64_t count) {
  Upcoming none;
  if (count >= kPageTokens) return PageForAll(scale, w, 0, items, kPageTokens, none);
  const auto seen = [=](int64_t i) { return Lower(kPageTokens, count + i); };
  const int64_t panels = Blocks(seen(items - 1), 16);
  for (int64_t first = 0; first < w.key; first += kScoreBlock) {
    int64_t panel = 0;
    for (; panel + kTilePanels <= panels; panel += kTilePanels)
      ScorePanelsForAll<X, kTilePanels>(w, 0, items, first, panel);
    for (; panel < panels; ++panel) ScorePanelsForAll<X, 1>(w, 0, items, first, panel);
  }
  for (int64_t i = 0; i < items; ++i) Softmax(w, i, 1, seen(i), scale);
  int64_t column = 0;
  for (; column + kTilePanels * 16 <= w.value; column += kTilePanels * 16)
    AddCausalValues<X, kTilePanels>(w, items, seen, column);
  for (; column < w.value; column += 16) AddCausalValues<X, 1>(w, items, seen, column);
}

// Attends the task's rows to the pages of the span that begins at `begin`.
template <class X>
void AttendSpan(const ExpandedAttentionArgs& args, const Task& task, int64_t begin, int64_t pages,
                const Head<X>& head) {
  const int64_t first_position = task.sequence->first_position + task.row;
  for (int64_t row = 0; row < task.rows; row += kItemsPerTask) {
    const int64_t rows = Lower(kItemsPerTask, task.rows - row);
    for (int64_t p = 0; p < pages; ++p) {
      // The positions of the page that the first row sees; rows before it see none.
      const int64_t count = first_position + row + 1 - (begin + p * kPageTokens);
      const int64_t skipped = Higher(0, 1 - count);
      if (skipped >= rows) break;
      Workspace<X> w = From(head.rows, row + skipped);
      w.keys = head.keys + p * head.page_keys();
      w.values = head.values + p * head.page_values();
      PageForRows(args.scale, w, rows - skipped, Higher(1, count));
    }
  }
}

// The first `count` entries of a page as contiguous rows.
template <class T>
const T* PageEntries(const ExpandedAttentionArgs& args, int64_t page, int64_t, T) {
  return static_cast<const T*>(args.cache) +
         page * kPageTokens * (args.shape.latent_dim + args.shape.rope_dim);
}
const bf16* PageEntries(const ExpandedAttentionArgs& args, int64_t page, int64_t count, fp8_e4m3) {
  const Fp8KvPage layout = {args.shape.latent_dim, args.shape.rope_dim};
  const int64_t stride = layout.latent_dim + layout.rope_dim;
  auto* const entries =
      static_cast<bf16*>(Scratch(kTaskEntries, kPageTokens * stride * int64_t{sizeof(bf16)}));
  ExpandEntries(static_cast<const char*>(args.cache), layout, page * kPageTokens, count, entries, stride);
  return entries;
}

template <class T, class X>
void RunSpans(const ExpandedAttentionArgs& args, const Task& task, const Head<X>& head) {
  const int64_t end = task.sequence->first_position + task.row + task.rows;  // past the last row's position
  for (int64_t begin = 0; begin < end; begin += kSpanPages * kPageTokens) {
    const int64_t pages = Lower(kSpanPages, Blocks(end - begin, kPageTokens));
    for (int64_t p = 0; p < pages; ++p) {
      const int64_t first = begin + p * kPageTokens;
      const int64_t page = task.sequence->block_table[first / kPageTokens];
      const int64_t count = Lower(kPageTokens, end - first);
      ExpandPage(args, PageEntries(args, page, count, T{}), count, head, head.keys + p * head.page_keys(),
                 head.values + p * head.page_values());
    }
    AttendSpan(args, task, begin, pages, head);
  }
}

template <class T, class X>
void LoadQueries(const ExpandedAttentionArgs& args, const Task& task, const Head<X>& head) {
  const int64_t dim = args.shape.query_dim();
  for (int64_t r = 0; r < task.rows; ++r) {
    CopyQuery(args.q.row<const T>(task.sequence->first_row + task.row + r) + task.head * dim, dim,
              head.rows.query + r * head.rows.entry);
  }
}

// Calls f with a value of the C++ type of `type`, for types that can be converted to X.
template <class X, class F>
void DispatchElement(DType type, F f) {
  if (type == DType::kBF16) {
    f(bf16{});
  } else if constexpr (sizeof(X) == sizeof(float)) {
    DR_CHECK(type == DType::kF32);
    f(float{});
  } else {
    DR_CHECK(type == DType::kBF16);
  }
}

template <class X>
void RunTask(const ExpandedAttentionArgs& args, const Task& task) {
  const Head<X> head = Allocate<X>(args.shape, task.rows);
  const PackedWeight& key = args.key_weights[task.head];
  DispatchElement<X>(key.type,
                     [&](auto t) { LayWeights<decltype(t)>(key, args.value_weights[task.head], head); });
  DispatchElement<X>(args.q.type, [&](auto t) { LoadQueries<decltype(t)>(args, task, head); });
  if (args.cache_type == DType::kF8E4M3) {
    RunSpans<fp8_e4m3>(args, task, head);
  } else {
    DispatchElement<X>(args.cache_type, [&](auto t) { RunSpans<decltype(t)>(args, task, head); });
  }
  for (int64_t r = 0; r < task.rows; ++r) {
    StoreItem(head.rows, r, args.shape.value_dim, args.out, task.sequence->first_row + task.row + r,
              task.head * args.shape.value_dim);
  }
}

void Check(const ExpandedAttentionArgs& args) {
  const ExpandedShape& shape = args.shape;
  const PackedWeight &key = args.key_weights[0], &value = args.value_weights[0];
  DR_CHECK(shape.nope_dim % 2 == 0 && shape.rope_dim % 2 == 0);
  DR_CHECK(key.n == shape.latent_dim && key.k == shape.nope_dim && key.type == value.type);
  DR_CHECK(value.n == shape.value_dim && value.k == shape.latent_dim);
  DR_CHECK(args.out.cols == shape.heads * shape.value_dim);
}

}  // namespace

void ExpandedAttention(const ExpandedAttentionArgs& args, const Execution& execution) {
  const int64_t heads = args.shape.heads;
  if (args.num_sequences == 0 || heads == 0) return;
  Check(args);
  // Rows are divided only if heads and sequences give fewer tasks than there are threads.
  const int64_t parts = Blocks(2 * ThreadCount(execution), heads * args.num_sequences);
  const auto rows_of_task = [=](const AttentionSequence& sequence) {
    return Higher(kFewestRows, Blocks(sequence.rows, parts));
  };
  int64_t count = 0;
  for (int64_t s = 0; s < args.num_sequences; ++s)
    count += Blocks(args.sequences[s].rows, rows_of_task(args.sequences[s])) * heads;
  Task* tasks = static_cast<Task*>(Scratch(kCallProducts, count * int64_t{sizeof(Task)}));
  int64_t index = 0;
  for (int64_t s = 0; s < args.num_sequences; ++s) {
    const AttentionSequence& sequence = args.sequences[s];
    const int64_t rows = rows_of_task(sequence);
    for (int64_t row = (sequence.rows - 1) / rows * rows; row >= 0; row -= rows) {  // the longest first
      for (int64_t head = 0; head < heads; ++head)
        tasks[index++] = Task{&sequence, row, Lower(rows, sequence.rows - row), head};
    }
  }
  // Pairs of bf16 are multiplied if queries and weights are bf16 and the cache is bf16 or fp8.
  const DType widest = args.key_weights[0].type == DType::kBF16 ? args.cache_type : args.key_weights[0].type;
  DispatchPageType(args.q.type, widest, [&](auto x) {
    ParallelFor(execution, count, [&args, tasks](int64_t i) { RunTask<decltype(x)>(args, tasks[i]); });
  });
}

}  // namespace deeprack::kernels::DEEPRACK_SIMD
