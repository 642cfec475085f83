#include "worker/collectives/peer/peer_group.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "worker/collectives/gather_values.h"

namespace deeprack::worker {
namespace {

// Value of PeerMemory::missing after Release. Other values are a rank's number + 1.
constexpr uint32_t kReleased = 0x80000000u;

struct Introduction {
  bool has_area = false;
  PeerPlaces places;
  PeerTicket ticket;
};

struct Verdict {
  bool reaches_all = false;
  char why[120] = {};
};

Verdict VerdictOf(const absl::Status& status) {
  Verdict verdict = {.reaches_all = status.ok()};
  const std::string why(status.message());
  std::memcpy(verdict.why, why.data(), std::min(why.size(), sizeof(verdict.why) - 1));
  return verdict;
}

absl::StatusOr<std::vector<Memory>> OpenAll(const std::vector<Introduction>& ranks, int own, Device& device) {
  std::vector<Memory> opened(ranks.size());
  for (size_t r = 0; r < ranks.size(); ++r) {
    if (!ranks[r].has_area)
      return absl::FailedPreconditionError(absl::StrCat("rank ", r, " shares no memory"));
    if (!(ranks[r].places == ranks[static_cast<size_t>(own)].places)) {
      return absl::FailedPreconditionError(absl::StrCat("rank ", r, " shares memory of another size"));
    }
    if (static_cast<int>(r) == own) continue;
    DR_ASSIGN_OR_RETURN(opened[r], device.OpenPeerMemory(ranks[r].ticket));
  }
  return opened;
}

}  // namespace

absl::StatusOr<PeerArea> PeerArea::Create(Device& device, const PeerPlaces& places) {
  DR_CHECK(places.places > 0 && places.place_bytes % sizing::kPeerPlaceAlignment == 0);
  DR_ASSIGN_OR_RETURN(Memory memory,
                      device.AllocateForPeers("memory that peers reach", sizing::PeerAreaBytes(places)));
  DR_ASSIGN_OR_RETURN(Memory missing, device.AllocateStaging("the word of a missing peer", sizeof(uint32_t)));
  return PeerArea(std::move(memory), std::move(missing), places);
}

absl::StatusOr<std::unique_ptr<PeerGroup>> PeerGroup::Create(Communicator& group, Device& device,
                                                             PeerArea* area) {
  DR_CHECK(group.size() <= kernels::kMaxPeers);
  const int own = group.rank();
  Introduction mine;
  Memory zeros;
  if (area != nullptr) {
    mine = {.has_area = true, .places = area->places_, .ticket = {}};
    DR_ASSIGN_OR_RETURN(mine.ticket, device.TicketOf(area->memory_));
    // Clears the call numbers of an earlier epoch before any peer can know this group.
    DR_ASSIGN_OR_RETURN(zeros, device.AllocateStaging("zeros", sizing::kPeerAreaBegin));
    DR_RETURN_IF_ERROR(device.CopyIn(area->memory_.data(), zeros.data(), sizing::kPeerAreaBegin));
    *reinterpret_cast<uint32_t*>(area->missing_.data()) = 0;
  }
  DR_ASSIGN_OR_RETURN(const std::vector<Introduction> ranks, GatherValues(mine, group, device));
  auto opened = OpenAll(ranks, own, device);
  DR_ASSIGN_OR_RETURN(const std::vector<Verdict> verdicts,
                      GatherValues(VerdictOf(opened.status()), group, device));
  for (size_t r = 0; r < verdicts.size(); ++r) {
    if (!verdicts[r].reaches_all)
      return absl::FailedPreconditionError(absl::StrCat("rank ", r, ": ", verdicts[r].why));
  }

  auto peers = std::unique_ptr<PeerGroup>(new PeerGroup(device, group.timeout()));
  peers->memory_ = {.rank = own,
                    .ranks = group.size(),
                    .places = area->places_.places,
                    .place_bytes = area->places_.place_bytes,
                    .calls = reinterpret_cast<uint32_t*>(area->memory_.data() + sizing::kPeerCallsBegin),
                    .missing = reinterpret_cast<uint32_t*>(area->missing_.data()),
                    .deadline_ns = static_cast<uint64_t>(absl::ToInt64Nanoseconds(group.timeout()))};
  peers->opened_ = *std::move(opened);
  for (int r = 0; r < group.size(); ++r) {
    std::byte* const base = r == own ? area->memory_.data() : peers->opened_[static_cast<size_t>(r)].data();
    peers->memory_.flags[r] = reinterpret_cast<uint32_t*>(base);
    peers->memory_.areas[r] = base + sizing::kPeerAreaBegin;
  }
  return peers;
}

absl::Status PeerGroup::Check() const {
  const uint32_t missing = std::atomic_ref<uint32_t>(*memory_.missing).load();
  if (missing == 0) return absl::OkStatus();
  if (missing == kReleased) return absl::AbortedError("the group of ranks is broken: it was released");
  return absl::DeadlineExceededError(absl::StrCat("rank ", memory_.rank, " of ", memory_.ranks, " waited ",
                                                  absl::FormatDuration(timeout_), " for rank ", missing - 1,
                                                  " in an exchange through peers' memory"));
}

void PeerGroup::Release() {
  uint32_t nobody = 0;
  if (memory_.missing != nullptr) {
    std::atomic_ref<uint32_t>(*memory_.missing).compare_exchange_strong(nobody, kReleased);
  }
}

}  // namespace deeprack::worker
