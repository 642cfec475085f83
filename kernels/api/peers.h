// Ranks whose cards read and write each other's memory (NVLink): what one launch does with it, without a
// communicator and without the host, so that a recording can hold it. For the few rows of a decode.
//
// Protocol. Every rank has an area that all can reach, cut into places; each place is there twice, for turns.
// A call's work is cut into meetings of two blocks on two ranks, or of one block on each. A block writes what
// is for the others into its places, tells them that it has begun (its own call number, into their flags) and
// waits until they have begun as well: then what they wrote is there. Call numbers count on in the device's
// memory, one for each block; all ranks make the same calls of the same size. When a block's second call has
// met its peers, they have all begun theirs, so have ended the first, and its place may be written again.
//
// A rank that does not come within the deadline is written to *missing (its number + 1). This call's and all
// later results are then of no use, and nobody waits any more.
#pragma once

#include <cstdint>

#include "kernels/api/matrix.h"
#include "kernels/api/norm.h"

namespace deeprack::kernels {

inline constexpr int kMaxPeers = 8;
inline constexpr int64_t kMaxPeerRows = 128;  // of a sum

// Words of a rank's flags, and of its call numbers, zero before the first call; and the one of a row and a
// rank.
inline constexpr int64_t kPeerWords = kMaxPeerRows * kMaxPeers;
constexpr int64_t PeerWordOf(int64_t row, int rank) { return row * kMaxPeers + rank; }
// Whether call number `seen` has reached `wanted`; numbers may wrap round.
constexpr bool HasBegun(uint32_t seen, uint32_t wanted) { return static_cast<int32_t>(seen - wanted) >= 0; }

// Bytes of an area; place_bytes: a multiple of 16.
constexpr int64_t PeerAreaBytes(int64_t places, int64_t place_bytes) { return places * 2 * place_bytes; }

// The ranks' memory as this rank's kernels reach it, its own included.
struct PeerMemory {
  int rank = 0, ranks = 1;
  void* areas[kMaxPeers] = {};  // 16-byte aligned
  uint32_t* flags[kMaxPeers] = {};
  int64_t places = 0, place_bytes = 0;  // of an area
  uint32_t* calls = nullptr;            // this rank's own
  uint32_t* missing = nullptr;          // host memory that the kernels reach; zero at first
  uint64_t deadline_ns = 0;             // to wait at most
};

// The sum over ranks, in rank order in fp32, rounded once: the bits of Communicator::AllReduceSum. Every rank
// reads every row of every rank.
struct PeerSumArgs {
  Matrix x;  // [m, cols], in place; cols, stride: multiples of 4; m: at most `places` and kMaxPeerRows
  PeerMemory peers;
};

// add_rms_norm of that sum, bit for bit the two operations. norm.x: this rank's share, fp32, left alone.
struct PeerAddRmsNormArgs {
  AddRmsNormArgs norm;
  PeerMemory peers;
};

// Rows to and from every rank, as many as only the kernels know, `slots` at most: send row r * slots + i is
// for rank r where i < rows_to[r]; receive row s * slots + i is from rank s where i < rows_from[s], and left
// alone where not. A place for each of them.
struct PeerExchangeArgs {
  const void* send = nullptr;        // [ranks * slots] rows; rows 16-byte aligned
  const int64_t* rows_to = nullptr;  // [ranks]
  void* receive = nullptr;           // [ranks * slots] rows
  int64_t* rows_from = nullptr;      // out [ranks]
  int64_t slots = 0;                 // at most kMaxPeerSlots and places / ranks
  int64_t row_bytes = 0;             // multiple of 16, at most place_bytes - kPeerRowHeader
  PeerMemory peers;
};
inline constexpr int64_t kPeerRowHeader = 16;
// As many blocks as every card has room for at a time: they wait for each other.
inline constexpr int64_t kMaxPeerSlots = 64;

}  // namespace deeprack::kernels
