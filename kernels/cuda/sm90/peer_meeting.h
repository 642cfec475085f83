// Meetings of blocks on several cards (kernels/api/peers.h).
#pragma once

#include "kernels/api/peers.h"
#include "kernels/cuda/sm90/hopper.h"

namespace deeprack::kernels::sm90 {

// The number of reads of a peer's word between two reads of the clock and of the host's word, which are slow.
inline constexpr uint32_t kPollsBetweenLooks = 64;

// The copy of a place in a rank's area that call number `call` uses.
template <class T>
__device__ inline T* PlaceOf(const PeerMemory& peers, int rank, int64_t place, uint32_t call) {
  return reinterpret_cast<T*>(static_cast<char*>(peers.areas[rank]) +
                              (place * 2 + call % 2) * peers.place_bytes);
}

// Tells `peer` that this rank's block of `row` has begun `call`. A peer that has seen this also sees the
// writes of the block's threads before their last barrier.
__device__ inline void TellPeer(const PeerMemory& peers, int peer, int64_t row, uint32_t call) {
  StoreForPeers(peers.flags[peer] + PeerWordOf(row, peers.rank), call);
}

__device__ inline void WaitForPeer(const PeerMemory& peers, int peer, int64_t row, uint32_t call) {
  const uint32_t* const flag = peers.flags[peers.rank] + PeerWordOf(row, peer);
  const uint64_t begin = Nanoseconds();
  for (uint32_t polls = 1; !HasBegun(LoadFromPeers(flag), call); ++polls) {
    if (polls % kPollsBetweenLooks != 0) continue;
    if (LoadFromPeers(peers.missing) != 0) return;
    if (Nanoseconds() - begin > peers.deadline_ns) {
      return StoreForPeers(peers.missing, static_cast<uint32_t>(peer) + 1);
    }
  }
}

}  // namespace deeprack::kernels::sm90
