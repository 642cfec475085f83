// The order in which sequences are served. A sequence has one place in this order, from its arrival to its
// end.
#pragma once

#include <compare>
#include <cstdint>

namespace deeprack::coordinator {

struct ServiceOrder {
  int64_t priority = 0;  // of the request; the smaller number is served first
  uint64_t arrival = 0;  // number of sequences that arrived before this one; each sequence has its own

  auto operator<=>(const ServiceOrder&) const = default;
};

}  // namespace deeprack::coordinator
