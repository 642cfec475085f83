// Exchanges of a rank with copies of itself: the rows that the rank sends to rank s come back as the rows
// that rank s sends. Each exchange is one launch on the device's stream, for cards and the host's emulation.
#pragma once

#include <cstdint>

#include "kernels/api/execution.h"

namespace deeprack::bench {

inline constexpr int64_t kMostEchoRanks = 64;

// The expert ids in the rows of an exchange: top_k int32 ids after `ids_at` bytes. An id of an expert of rank
// s becomes the id of the same expert of this rank, so this rank's experts get as many rows as all ranks'
// experts get from this rank.
struct EchoRouting {
  int64_t ids_at = -1;  // -1: rows without ids
  int64_t top_k = 0;
  int64_t rank_experts = 0;  // experts of a rank
};

struct EchoRowsArgs {
  const void* send = nullptr;  // rows by rank
  void* receive = nullptr;     // rows by rank
  int64_t row_bytes = 0;       // multiple of 16
  int64_t ranks = 0;
  // With slots > 0, rank r has rows_to[r] rows from row r * slots on, and rows_to[r] is copied to
  // rows_from[r]. With slots = 0, rank r's rows begin at begin[r] and end at begin[r + 1].
  int64_t slots = 0;
  const int64_t* rows_to = nullptr;
  int64_t* rows_from = nullptr;
  int64_t begin[kMostEchoRanks + 1] = {};
  EchoRouting routing;
};
void EchoRows(const EchoRowsArgs& args, const kernels::Execution& execution);

// counts[r * ranks + c] = rows_to[(r + c) % ranks]: an invented count of the rows that rank r sends to rank
// c. This rank, rank 0, reads row 0 and column 0, which are its own counts.
void EchoCounts(const int64_t* rows_to, int64_t* counts, int64_t ranks, const kernels::Execution& execution);

}  // namespace deeprack::bench
