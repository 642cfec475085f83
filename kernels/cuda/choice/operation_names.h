// Names of the operations that special kernels replace, and of the kernels that the layout of int4 weights
// depends on.
#pragma once

#include <string_view>

namespace deeprack::kernels {

inline constexpr std::string_view kOperationFp8Product = "products with fp8 weights";
inline constexpr std::string_view kOperationBf16Product = "products with bf16 weights";
inline constexpr std::string_view kOperationInt4Product = "products with int4 weights";
inline constexpr std::string_view kOperationMla = "mla_attention";
inline constexpr std::string_view kOperationMlaFp8 = "mla_attention over an fp8 cache";
inline constexpr std::string_view kOperationMlaPrepare = "mla_prepare";
inline constexpr std::string_view kOperationExpandedAttention = "expanded_attention";
inline constexpr std::string_view kOperationGate = "gate";
inline constexpr std::string_view kOperationGroupByExpert = "group_by_expert";
inline constexpr std::string_view kOperationCombine = "combine";
inline constexpr std::string_view kOperationDispatch = "plan_dispatch and pack_dispatch";
inline constexpr std::string_view kOperationFeedForward = "feed_forward and grouped_feed_forward";
inline constexpr std::string_view kOperationNorm = "rms_norm and add_rms_norm";
inline constexpr std::string_view kOperationPeerSum = "peer_sum";
inline constexpr std::string_view kOperationPeerExchange = "peer_exchange";

constexpr bool IsProduct(std::string_view operation) {
  return operation == kOperationFp8Product || operation == kOperationBf16Product ||
         operation == kOperationInt4Product;
}

// Products with int4 weights, by the type of the activations.
inline constexpr std::string_view kInt4ByE4M3 = "sm90 int4 product with e4m3";
inline constexpr std::string_view kInt4ByBF16 = "sm90 int4 product with bf16";

}  // namespace deeprack::kernels
