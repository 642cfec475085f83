// How allocations are rounded.
#pragma once

#include <cstdint>

#include "base/checked.h"

namespace deeprack::sizing {

// Every allocation begins on such a boundary and is rounded up to it, so that sizes add up to the budget's.
inline constexpr int64_t kArenaAlignment = 64;

// A driver lets others into whole allocations, and gives smaller ones out of one.
inline constexpr int64_t kPeerMemoryUnit = int64_t{2} << 20;

// What `count` values use up of a staged area (worker/device/staged_area.h).
inline constexpr int64_t kStagedAlignment = 16;
template <class T>
constexpr int64_t StagedBytes(int64_t count) {
  return RoundUp(count * static_cast<int64_t>(sizeof(T)), kStagedAlignment);
}

}  // namespace deeprack::sizing
