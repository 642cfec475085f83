// The memory of a rank that its peers' cards reach (worker/collectives/peer, kernels/api/peers.h).
#pragma once

#include <cstdint>

#include "base/checked.h"
#include "kernels/api/kernel_needs.h"
#include "kernels/api/peers.h"
#include "sizing/rank_spec.h"

namespace deeprack::sizing {

// What calls need room for: rows, of all ranks where they exchange them.
struct PeerPlaces {
  int64_t places = 0;       // 0: none
  int64_t place_bytes = 0;  // multiple of 16

  bool operator==(const PeerPlaces&) const = default;
};
// Of sums of `rows` rows of `cols` values, and of exchanges with `ranks` ranks of as many rows with each.
PeerPlaces PlacesOfSums(int64_t rows, int64_t cols);
PeerPlaces PlacesOfExchanges(int64_t ranks, int64_t rows, int64_t row_bytes);

// The memory: flags, then call numbers as many, then the places.
inline constexpr int64_t kPeerPlaceAlignment = 16;
inline constexpr int64_t kPeerCallsBegin =
    RoundUp(kernels::kPeerWords * static_cast<int64_t>(sizeof(uint32_t)), 128);
inline constexpr int64_t kPeerAreaBegin = 2 * kPeerCallsBegin;

// What they take of the card's memory.
int64_t PeerAreaBytes(const PeerPlaces& places);

// What a rank's areas need room for: sums over its tp group, exchanges over its stage.
struct PeerNeeds {
  PeerPlaces sums, exchanges;

  int64_t bytes() const { return PeerAreaBytes(sums) + PeerAreaBytes(exchanges); }
};
PeerNeeds PeerNeedsOf(const RankSpec& spec, const kernels::KernelNeeds& kernels);

}  // namespace deeprack::sizing
