// The memory of a rank that its peers' cards reach (worker/collectives/peer, kernels/api/peers.h).
#pragma once

#include <cstdint>

#include "base/checked.h"
#include "kernels/api/kernel_needs.h"
#include "kernels/api/peers.h"
#include "sizing/rank_spec.h"

namespace deeprack::sizing {

// A place holds one row. Sums need a place for each row; exchanges one for each row of each rank.
struct PeerPlaces {
  int64_t places = 0;       // 0: none
  int64_t place_bytes = 0;  // multiple of 16

  bool operator==(const PeerPlaces&) const = default;
};
// For sums of `rows` rows of `cols` values.
PeerPlaces PlacesOfSums(int64_t rows, int64_t cols);
// For exchanges of `rows` rows with each of `ranks` ranks.
PeerPlaces PlacesOfExchanges(int64_t ranks, int64_t rows, int64_t row_bytes);

// Order in memory: flags, as many call numbers, places.
inline constexpr int64_t kPeerPlaceAlignment = 16;
inline constexpr int64_t kPeerCallsBegin =
    RoundUp(kernels::kPeerWords * static_cast<int64_t>(sizeof(uint32_t)), 128);
inline constexpr int64_t kPeerAreaBegin = 2 * kPeerCallsBegin;

// Bytes of the card's memory.
int64_t PeerAreaBytes(const PeerPlaces& places);

// Places of a rank: for sums over its tp group, and for exchanges over its stage.
struct PeerNeeds {
  PeerPlaces sums, exchanges;

  int64_t bytes() const { return PeerAreaBytes(sums) + PeerAreaBytes(exchanges); }
};
PeerNeeds PeerNeedsOf(const RankSpec& spec, const kernels::KernelNeeds& kernels);

}  // namespace deeprack::sizing
