// The exchange of rows between ranks (kernels/api/moe.h), and copies of rows (elementwise.h). Floor: one read
// and one write of every row.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/parallel.h"

namespace deeprack::kernels {
namespace {

constexpr int64_t kBytesPerTask = 64 << 10;

// Calls body(row) for all rows, in parallel if the rows are large.
template <class Body>
void ForRows(const Execution& execution, int64_t rows, int64_t bytes_per_row, Body body) {
  const int64_t rows_per_task = std::max<int64_t>(1, kBytesPerTask / std::max<int64_t>(1, bytes_per_row));
  struct Context {
    Body* body;
    int64_t rows, rows_per_task;
  } context{&body, rows, rows_per_task};
  RunParallel(
      execution, (rows + rows_per_task - 1) / rows_per_task,
      [](void* p, int64_t task) {
        const Context& c = *static_cast<Context*>(p);
        const int64_t end = std::min(c.rows, (task + 1) * c.rows_per_task);
        for (int64_t row = task * c.rows_per_task; row < end; ++row) (*c.body)(row);
      },
      &context);
}

int64_t RowBytes(const Matrix& matrix) { return matrix.cols * static_cast<int64_t>(SizeOf(matrix.type)); }

std::byte* RowOf(const Matrix& matrix, int64_t row) {
  return static_cast<std::byte*>(matrix.data) +
         row * matrix.stride * static_cast<int64_t>(SizeOf(matrix.type));
}

}  // namespace

void CopyRows(const CopyRowsArgs& args, const Execution& execution) {
  DR_CHECK(args.x.type == args.out.type && args.x.cols == args.out.cols);
  const size_t bytes = static_cast<size_t>(RowBytes(args.out));
  ForRows(execution, args.out.rows, RowBytes(args.out), [&args, bytes](int64_t row) {
    const int64_t from = args.index != nullptr ? args.index[row] : row;
    std::memcpy(RowOf(args.out, row), RowOf(args.x, from), bytes);
  });
}

void PlanDispatch(const PlanDispatchArgs& args, const Execution& execution) {
  std::vector<int64_t> groups;
  std::fill_n(args.index, args.m * args.fanout, -1);
  std::fill_n(args.rows_to, args.ranks, 0);
  // First writes the ranks to index and counts rows; then replaces each rank by the place in the send buffer.
  for (int64_t token = 0; token < args.m; ++token) {
    groups.clear();
    for (int64_t c = 0; c < args.top_k; ++c) {
      const int32_t id = args.ids[token * args.top_k + c];
      if (id >= 0) groups.push_back(id / args.group_experts);
    }
    std::sort(groups.begin(), groups.end());
    const auto end = std::unique(groups.begin(), groups.end());
    int32_t* index = args.index + token * args.fanout;
    for (auto group = groups.begin(); group != end; ++group) {
      for (int64_t r = *group * args.group_ranks; r < (*group + 1) * args.group_ranks; ++r) {
        *index++ = static_cast<int32_t>(r);
        ++args.rows_to[r];
      }
    }
  }
  std::vector<int32_t> next(static_cast<size_t>(args.ranks));
  for (size_t r = 1; r < next.size(); ++r) {
    next[r] = next[r - 1] + static_cast<int32_t>(args.slots > 0 ? args.slots : args.rows_to[r - 1]);
  }
  for (int64_t i = 0; i < args.m * args.fanout; ++i) {
    if (args.index[i] >= 0) args.index[i] = next[static_cast<size_t>(args.index[i])]++;
  }
}

void PackDispatch(const PackDispatchArgs& args, const Execution& execution) {
  const size_t row_bytes = static_cast<size_t>(RowBytes(args.x));
  const size_t ids_bytes = static_cast<size_t>(args.top_k) * sizeof(int32_t);
  ForRows(execution, args.x.rows, RowBytes(args.x) * args.fanout,
          [&args, row_bytes, ids_bytes](int64_t token) {
            for (int64_t i = 0; i < args.fanout; ++i) {
              const int64_t place = args.index[token * args.fanout + i];
              if (place < 0) break;
              std::byte* row = static_cast<std::byte*>(args.send) + place * args.row_bytes;
              std::memcpy(row, RowOf(args.x, token), row_bytes);
              std::memcpy(row + row_bytes, args.ids + token * args.top_k, ids_bytes);
              std::memcpy(row + row_bytes + ids_bytes, args.weights + token * args.top_k,
                          static_cast<size_t>(args.top_k) * sizeof(float));
            }
          });
}

void UnpackDispatch(const UnpackDispatchArgs& args, const Execution& execution) {
  const size_t ids_bytes = static_cast<size_t>(args.top_k) * sizeof(int32_t);
  for (int64_t i = 0; i < args.m; ++i) {
    if (args.slots > 0 && i % args.slots >= args.rows_from[i / args.slots]) {
      std::fill_n(args.ids + i * args.top_k, args.top_k, -1);
      continue;
    }
    const std::byte* routing =
        static_cast<const std::byte*>(args.received) + i * args.row_bytes + args.activation_bytes;
    std::memcpy(args.ids + i * args.top_k, routing, ids_bytes);
    std::memcpy(args.weights + i * args.top_k, routing + ids_bytes,
                static_cast<size_t>(args.top_k) * sizeof(float));
  }
}

}  // namespace deeprack::kernels
