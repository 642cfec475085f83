// A sum over ranks whose memory this card can read (NVLink), in one step and fused with what follows:
// residual + norm + quantise.
//
// Every rank's product writes its share into its own buffer; then each rank reads the buffers of all, adds in
// rank order in fp32 (so all ranks get the same bits), adds the residual and goes on as NormQuantise does.
// For decode's few rows: every rank reads every row of every rank.
//
// Protocol. A call's block b tells every rank that it has begun (its own call number, into that rank's flags
// [b][this rank]): then all its rank's earlier work is visible, the share too. It waits until every rank's
// block b has begun as well. Call numbers are kept in device memory, a number for each block, so that a CUDA
// graph can hold the launch; all ranks make the same calls with the same number of rows. Two calls in a row
// must use different share buffers: when the second call has ended, every rank has begun it, so has ended the
// first, and the first's buffers may be written again.
//
// A rank that does not come within the deadline is written to *missing (its number + 1); this call's and all
// later results are then of no use, and nobody waits any more.
#pragma once

#include "kernels/cuda/sm90/quantise.h"

namespace deeprack::kernels::sm90 {

inline constexpr int kMaxPeers = 8;
inline constexpr int kMaxReduceBlocks = 64;

// Words of a rank's flags: zero before the first call. Flag of (block, rank).
inline constexpr int64_t kFlagWords = kMaxReduceBlocks * kMaxPeers;
constexpr int FlagOf(int block, int rank) { return block * kMaxPeers + rank; }
// Whether call number `seen` has reached `wanted`; numbers may wrap round.
constexpr bool HasBegun(uint32_t seen, uint32_t wanted) { return static_cast<int32_t>(seen - wanted) >= 0; }

struct AllReduceNormArgs {
  int rank = 0, ranks = 1;
  // As this card sees them, own ones included: shares [m, cols] of every rank, and flags.
  const void* shares[kMaxPeers] = {};
  DType share_type = DType::kBF16;  // or kF32
  int64_t share_stride = 0;         // multiple of 4
  uint32_t* flags[kMaxPeers] = {};
  uint32_t* calls = nullptr;    // [kMaxReduceBlocks] on this card, zero before the first call
  uint32_t* missing = nullptr;  // on this card or in pinned memory, zero at first
  uint64_t deadline_ns = 0;     // to wait at most

  Matrix residual;  // [m, cols] kBF16 or kF32, updated
  const float* weight = nullptr;
  float eps = 1e-6f;
  Matrix normed;      // kBF16, or no data
  QuantisedRows out;  // or no data: normed alone
};
void AllReduceNorm(const AllReduceNormArgs& args, const Execution& execution);

}  // namespace deeprack::kernels::sm90
