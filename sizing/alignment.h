// Alignment of a rank's memory.
#pragma once

#include <cstdint>

#include "base/checked.h"

namespace deeprack::sizing {

// Bytes. Every allocation begins at a multiple and is rounded up to one, so that sizes add up to the
// footprint's.
inline constexpr int64_t kArenaAlignment = 64;

// Bytes. Memory that peers reach is allocated in multiples of this: a card's driver opens whole allocations
// of this size to other processes.
inline constexpr int64_t kPeerMemoryUnit = int64_t{2} << 20;

// Bytes that `count` values take of a staged area (worker/device/staged_area.h).
inline constexpr int64_t kStagedAlignment = 16;
template <class T>
constexpr int64_t StagedBytes(int64_t count) {
  return RoundUp(count * static_cast<int64_t>(sizeof(T)), kStagedAlignment);
}

}  // namespace deeprack::sizing
