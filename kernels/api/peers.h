// Operations of ranks whose cards read and write each other's memory (NVLink). An operation is one launch and
// uses neither a communicator nor the host, so a recording can hold it. These operations are for the few rows
// of a decode step.
//
// Protocol. Every rank has an area of memory that all ranks can reach. An area is cut into places. Each place
// has two copies, which calls use in turn. The work of a call is cut into meetings: of two blocks on two
// ranks, or of one block on every rank. In a meeting a block
//   1. writes its data for the other ranks into its places,
//   2. writes its call number into the other ranks' flags, which says that it has begun the call,
//   3. waits until the other ranks' blocks have begun the same call; their data is then in place.
// Each block counts its calls in the device's memory. All ranks make the same calls of the same size. When a
// block's next call has met its peers, every peer has ended the call before, so the first copy of the place
// may be written again.
//
// Errors: a rank that does not begin within the deadline is written to *missing, as its number + 1. Results
// of this call and of all later calls are then undefined, and later calls do not wait.
#pragma once

#include <cstdint>

#include "kernels/api/matrix.h"
#include "kernels/api/norm.h"

namespace deeprack::kernels {

inline constexpr int kMaxPeers = 8;
inline constexpr int64_t kMaxPeerRows = 128;  // of a sum

// The number of words of a rank's flags, and of its call numbers. All are zero before the first call.
inline constexpr int64_t kPeerWords = kMaxPeerRows * kMaxPeers;
// The word of a row and a rank.
constexpr int64_t PeerWordOf(int64_t row, int rank) { return row * kMaxPeers + rank; }
// True when call number `seen` has reached `wanted`. Call numbers may wrap around.
constexpr bool HasBegun(uint32_t seen, uint32_t wanted) { return static_cast<int32_t>(seen - wanted) >= 0; }

// Bytes of an area. place_bytes is a multiple of 16.
constexpr int64_t PeerAreaBytes(int64_t places, int64_t place_bytes) { return places * 2 * place_bytes; }

// The memory of all ranks, this rank's included, at the addresses where this rank's kernels reach it.
struct PeerMemory {
  int rank = 0, ranks = 1;
  void* areas[kMaxPeers] = {};  // 16-byte aligned
  uint32_t* flags[kMaxPeers] = {};
  int64_t places = 0, place_bytes = 0;  // in each area
  uint32_t* calls = nullptr;            // this rank's own
  uint32_t* missing = nullptr;          // host memory that kernels can write; zero before the first call
  uint64_t deadline_ns = 0;             // the longest wait, in nanoseconds
};

// x = sum over ranks of x, in rank order in fp32, rounded once: the same bits as Communicator::AllReduceSum.
// Every rank reads every row of every rank.
struct PeerSumArgs {
  Matrix x;  // [m, cols], in place; cols and stride: multiples of 4; m <= places and m <= kMaxPeerRows
  PeerMemory peers;
};

// peer_sum of norm.x, then add_rms_norm, with the bits of the two operations. norm.x is this rank's fp32
// addend and is not changed.
struct PeerAddRmsNormArgs {
  AddRmsNormArgs norm;
  PeerMemory peers;
};

// Sends up to `slots` rows to every rank and receives up to `slots` rows from every rank. The counts are in
// memory of the device. Send row r * slots + i goes to rank r if i < rows_to[r]. Receive row s * slots + i
// comes from rank s if i < rows_from[s]; other receive rows are not written. Each row takes one place.
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
// The blocks of an exchange wait for each other, so all must run at once: every card has room for this many.
inline constexpr int64_t kMaxPeerSlots = 64;

}  // namespace deeprack::kernels
