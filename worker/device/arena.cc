#include "worker/device/arena.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/checked.h"
#include "base/status_macros.h"

namespace deeprack::worker {

absl::StatusOr<Arena> Arena::Create(Device& device, std::string purpose, int64_t bytes) {
  DR_ASSIGN_OR_RETURN(Memory memory, device.Allocate(purpose, bytes));
  return Arena(std::move(purpose), std::move(memory));
}

Arena::Arena(std::string purpose, Memory memory) : purpose_(std::move(purpose)), memory_(std::move(memory)) {}

absl::StatusOr<std::byte*> Arena::Allocate(int64_t bytes) {
  if (bytes < 0 || bytes > capacity() - used_ || RoundUp(bytes, kArenaAlignment) > capacity() - used_) {
    return absl::ResourceExhaustedError(absl::StrCat(purpose_, ": ", bytes, " bytes were requested, but ",
                                                     used_, " of the ", capacity(),
                                                     " budgeted bytes are in use"));
  }
  std::byte* result = memory_.data() + used_;
  used_ += RoundUp(bytes, kArenaAlignment);
  return result;
}

}  // namespace deeprack::worker
