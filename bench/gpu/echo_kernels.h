// Exchanges of a rank with copies of itself: what it sends to rank s comes back as what rank s sends. On the
// device's stream, one launch each, for cards and the host's emulation.
#pragma once

#include <cstdint>

#include "kernels/api/execution.h"

namespace deeprack::bench {

inline constexpr int64_t kMostEchoRanks = 64;

// What the rows of an exchange hold of the choice of experts: top_k int32 ids behind `ids_at` bytes. An id
// sent to rank s becomes the one that is there in its place here, so that this rank's experts get as many
// rows as all ranks' together get from it.
struct EchoRouting {
  int64_t ids_at = -1;  // -1: rows without ids
  int64_t top_k = 0;
  int64_t rank_experts = 0;  // experts of a rank
};

struct EchoRowsArgs {
  const void* send = nullptr;  // rows by rank
  void* receive = nullptr;     // likewise
  int64_t row_bytes = 0;       // multiple of 16
  int64_t ranks = 0;
  // Rank r's rows begin at row r * slots, rows_to[r] of them, which is written to rows_from[r]; or, with 0
  // slots, at begin[r], and end where the next rank's begin.
  int64_t slots = 0;
  const int64_t* rows_to = nullptr;
  int64_t* rows_from = nullptr;
  int64_t begin[kMostEchoRanks + 1] = {};
  EchoRouting routing;
};
void EchoRows(const EchoRowsArgs& args, const kernels::Execution& execution);

// counts[r * ranks + c] = rows_to[(r + c) % ranks]: what rank r sends to rank c, where all send as this one
// does, counted from themselves on.
void EchoCounts(const int64_t* rows_to, int64_t* counts, int64_t ranks, const kernels::Execution& execution);

}  // namespace deeprack::bench
