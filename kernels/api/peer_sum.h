// Sums over ranks whose cards read each other's memory (NVLink), in one launch: every rank's kernel copies
// its rows to where its peers can read them, meets theirs, and adds the rows of all in rank order in fp32,
// rounding once: the bits of Communicator::AllReduceSum. For decode's few rows: every rank reads every row of
// every rank. Nothing waits for the host, so that a recording can hold the launch.
//
// Protocol. Block b of a call has row b. It copies the row into its place of this rank's area, tells every
// rank that it has begun (its own call number, into that rank's flags [b][this rank]) and waits until every
// rank's block b has begun as well. Call numbers count on in the device's memory, one for each block; all
// ranks make the same calls with as many rows. A block has two places, used in turn: when its second call
// has met its peers, they have all begun theirs, so have ended the first, and its place may be written again.
//
// A rank that does not come within the deadline is written to *missing (its number + 1). This call's and all
// later results are then of no use, and nobody waits any more.
#pragma once

#include <cstdint>

#include "kernels/api/matrix.h"

namespace deeprack::kernels {

inline constexpr int kMaxPeers = 8;
inline constexpr int64_t kMaxPeerRows = 128;  // of a call

// Words of a rank's flags, zero before the first call, and the one of (block, rank).
inline constexpr int64_t kPeerFlagWords = kMaxPeerRows * kMaxPeers;
constexpr int64_t PeerFlagOf(int64_t block, int rank) { return block * kMaxPeers + rank; }
// Whether call number `seen` has reached `wanted`; numbers may wrap round.
constexpr bool HasBegun(uint32_t seen, uint32_t wanted) { return static_cast<int32_t>(seen - wanted) >= 0; }

// Bytes of a rank's area: two places of `cols` fp32 values for each of `rows` rows.
constexpr int64_t PeerAreaBytes(int64_t rows, int64_t cols) {
  return rows * 2 * cols * static_cast<int64_t>(sizeof(float));
}

// The ranks' memory as this rank's kernels reach it, its own included.
struct PeerMemory {
  int rank = 0, ranks = 1;
  void* areas[kMaxPeers] = {};  // 16-byte aligned
  uint32_t* flags[kMaxPeers] = {};
  int64_t rows = 0, cols = 0;   // what the areas have room for
  uint32_t* calls = nullptr;    // [kMaxPeerRows] of this rank's own, zero before the first call
  uint32_t* missing = nullptr;  // host memory that the kernels reach; zero at first
  uint64_t deadline_ns = 0;     // to wait at most
};

struct PeerSumArgs {
  Matrix x;  // [m, cols], in place: the sum over ranks. cols, stride: multiples of 4; m at most peers.rows
  PeerMemory peers;
};

}  // namespace deeprack::kernels
