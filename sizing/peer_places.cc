#include "sizing/peer_places.h"

#include <algorithm>

#include "sizing/alignment.h"
#include "sizing/step_buffers.h"

namespace deeprack::sizing {

PeerPlaces PlacesOfSums(int64_t rows, int64_t cols) {
  return {.places = std::min(rows, kernels::kMaxPeerRows),
          .place_bytes = RoundUp(cols * static_cast<int64_t>(sizeof(float)), kPeerPlaceAlignment)};
}

PeerPlaces PlacesOfExchanges(int64_t ranks, int64_t rows, int64_t row_bytes) {
  return {.places = ranks * std::min(rows, kernels::kMaxPeerSlots),
          .place_bytes = RoundUp(kernels::kPeerRowHeader + row_bytes, kPeerPlaceAlignment)};
}

int64_t PeerAreaBytes(const PeerPlaces& places) {
  if (places.places == 0) return 0;
  return RoundUp(kPeerAreaBegin + kernels::PeerAreaBytes(places.places, places.place_bytes), kPeerMemoryUnit);
}

PeerNeeds PeerNeedsOf(const RankSpec& spec, const kernels::KernelNeeds& kernels) {
  const auto may_be_peers = [](int64_t ranks) { return ranks > 1 && ranks <= kernels::kMaxPeers; };
  const int64_t ranks = spec.layout.stage_size(), hidden = spec.config.hidden_size;
  PeerNeeds needs;
  if (hidden % 4 != 0) return needs;
  if (kernels.sums_among_peers && may_be_peers(spec.layout.tp)) {
    needs.sums = PlacesOfSums(spec.limits.max_step_tokens, hidden);
  }
  if (kernels.exchanges_among_peers && may_be_peers(ranks) &&
      spec.expert_exchange == model::ExpertExchange::kAllToAll && spec.config.n_routed_experts > 0) {
    const int64_t sum_bytes = hidden * static_cast<int64_t>(sizeof(float));
    needs.exchanges = PlacesOfExchanges(ranks, CeilDiv(spec.limits.max_step_tokens, spec.layout.tp),
                                        std::max(DispatchRowBytes(spec), sum_bytes));
  }
  return needs;
}

}  // namespace deeprack::sizing
