// Exchanges one value of every rank of a group at start, through memory that the group exchanges.
#pragma once

#include <type_traits>
#include <vector>

#include "absl/status/statusor.h"
#include "base/checked.h"
#include "base/status_macros.h"
#include "worker/collectives/communicator.h"
#include "worker/device/arena.h"
#include "worker/device/staged_area.h"

namespace deeprack::worker {

// Returns [ranks]: `mine` of each rank. Collective over the group, whose ranks must run the same program.
// Waits for the device.
template <class T>
absl::StatusOr<std::vector<T>> GatherValues(const T& mine, Communicator& group, Device& device) {
  static_assert(std::is_trivially_copyable_v<T>);
  const int64_t ranks = group.size();
  const int64_t bytes = RoundUp(sizing::StagedBytes<T>(1) + sizing::StagedBytes<T>(ranks), kArenaAlignment);
  DR_ASSIGN_OR_RETURN(Arena arena, Arena::Create(device, "the ranks' agreement", bytes));
  DR_ASSIGN_OR_RETURN(std::byte * memory, arena.Allocate(bytes));
  DR_ASSIGN_OR_RETURN(StagedArea area, StagedArea::Create(device, "the ranks' agreement", memory, bytes));
  const Staged<T> own = area.Take<T>(1);
  const Staged<T> everyone = area.Take<T>(ranks);
  *own.host = mine;
  DR_RETURN_IF_ERROR(area.Send());
  DR_RETURN_IF_ERROR(group.AllGather(own.device, everyone.device, sizeof(T)));
  DR_RETURN_IF_ERROR(area.Fetch());
  DR_RETURN_IF_ERROR(group.Await());
  DR_RETURN_IF_ERROR(device.Synchronize());
  return std::vector<T>(everyone.host, everyone.host + ranks);
}

}  // namespace deeprack::worker
