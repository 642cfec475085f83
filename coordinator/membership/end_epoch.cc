// Roster::EndEpoch: ends an epoch in which no member was lost.
#include "coordinator/membership/roster.h"

namespace deeprack::coordinator {

void Roster::EndEpoch(Epoch epoch, bool smaller) {
  const std::lock_guard lock(mutex_);
  if (table_.epoch() == epoch) OpenNextEpoch(smaller);
}

}  // namespace deeprack::coordinator
