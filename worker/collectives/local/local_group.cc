#include "worker/collectives/local/local_group.h"

#include <chrono>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"

namespace deeprack::worker {

LocalGroup::LocalGroup(std::shared_ptr<LocalWorld> world, int size)
    : world_(std::move(world)),
      size_(size),
      calls_(size),
      arrived_(size, false),
      letters_(static_cast<size_t>(size) * size) {}

LocalGroup::Deadline LocalGroup::DeadlineFromNow() const {
  return std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(world_->timeout);
}

absl::Status LocalGroup::BrokenStatus() const {
  return absl::AbortedError(absl::StrCat("the group of ranks is broken: ", world_->why));
}

absl::Status LocalGroup::Break(absl::Status status) {
  if (!world_->broken) {
    world_->broken = true;
    world_->why = std::string(status.message());
    world_->changed.notify_all();
  }
  return status;
}

void LocalGroup::Abort(const std::string& why) {
  Lock lock(world_->mutex);
  Break(absl::AbortedError(why)).IgnoreError();
}

absl::Status LocalGroup::WaitUntil(Lock& lock, Deadline deadline, const std::function<bool()>& done,
                                   const std::function<std::string()>& waiting_for) {
  while (!done()) {
    if (world_->broken) return BrokenStatus();
    if (world_->changed.wait_until(lock, deadline) == std::cv_status::timeout && !done()) {
      if (world_->broken) return BrokenStatus();
      return Break(absl::DeadlineExceededError(
          absl::StrCat("waited ", absl::FormatDuration(world_->timeout), " for ", waiting_for())));
    }
  }
  return absl::OkStatus();
}

std::string LocalGroup::MissingRanks() const {
  std::vector<int> missing;
  for (int rank = 0; rank < size_; ++rank) {
    if (!arrived_[rank]) missing.push_back(rank);
  }
  return absl::StrCat("rank ", absl::StrJoin(missing, ", "), " of ", size_);
}

absl::Status LocalGroup::CheckCallsAgree() const {
  for (int rank = 1; rank < size_; ++rank) {
    const Call& first = calls_[0];
    const Call& other = calls_[rank];
    if (std::strcmp(first.name, other.name) != 0 || first.size != other.size) {
      return absl::AbortedError(absl::StrCat("ranks disagree: rank 0 calls ", first.name, " of size ",
                                             first.size, ", rank ", rank, " calls ", other.name, " of size ",
                                             other.size));
    }
  }
  return absl::OkStatus();
}

absl::Status LocalGroup::Meet(int rank, const Call& call,
                              const std::function<void(std::span<const Call>)>& copy) {
  const Deadline deadline = DeadlineFromNow();
  Lock lock(world_->mutex);
  if (world_->broken) return BrokenStatus();
  calls_[rank] = call;
  arrived_[rank] = true;
  const uint64_t meeting = meetings_;
  if (++num_arrived_ == size_) {
    num_arrived_ = 0;
    arrived_.assign(size_, false);
    copying_ = size_;
    agreement_ = CheckCallsAgree();
    ++meetings_;
    world_->changed.notify_all();
  }
  const absl::Status everyone_came = WaitUntil(
      lock, deadline, [&] { return meetings_ != meeting; },
      [&] { return absl::StrCat(MissingRanks(), " in ", call.name); });
  if (!everyone_came.ok()) return everyone_came;  // no peer copies, because not all ranks arrived
  const absl::Status agreement = agreement_;
  if (agreement.ok()) {
    lock.unlock();
    copy(calls_);
    lock.lock();
  } else {
    Break(agreement).IgnoreError();
  }
  if (--copying_ == 0) {
    split_.clear();
    world_->changed.notify_all();
  }
  // Waits without deadline: copying always ends soon, and until then neither abort nor deadline may let a
  // rank free its buffers.
  while (copying_ != 0 && meetings_ == meeting + 1) world_->changed.wait(lock);
  return agreement;
}

absl::StatusOr<std::shared_ptr<LocalGroup>> LocalGroup::MeetToSplit(int rank, int color, int* rank_in_new) {
  std::shared_ptr<LocalGroup> group;
  DR_RETURN_IF_ERROR(Meet(rank, {.name = "Split", .color = color}, [&](std::span<const Call> calls) {
    int members = 0;
    for (int r = 0; r < size_; ++r) {
      if (r == rank) *rank_in_new = members;
      if (calls[r].color == color) ++members;
    }
    Lock lock(world_->mutex);
    std::shared_ptr<LocalGroup>& made = split_[color];
    if (made == nullptr) made = std::make_shared<LocalGroup>(world_, members);
    group = made;
  }));
  return group;
}

absl::Status LocalGroup::Send(const void* data, int64_t bytes, int from, int to) {
  const Deadline deadline = DeadlineFromNow();
  Lock lock(world_->mutex);
  if (world_->broken) return BrokenStatus();
  Letter& letter = letters_[static_cast<size_t>(from) * size_ + to];
  letter = {Letter::kPosted, data, bytes};
  world_->changed.notify_all();
  const absl::Status taken = WaitUntil(
      lock, deadline, [&] { return letter.state == Letter::kCopying || letter.state == Letter::kCopied; },
      [&] { return absl::StrCat("rank ", to, " of ", size_, " to receive"); });
  if (!taken.ok()) {
    letter.state = Letter::kEmpty;
    return taken;
  }
  while (letter.state != Letter::kCopied) world_->changed.wait(lock);  // without deadline, as in Meet
  letter.state = Letter::kEmpty;
  return absl::OkStatus();
}

absl::Status LocalGroup::Receive(void* data, int64_t bytes, int from, int to) {
  const Deadline deadline = DeadlineFromNow();
  Lock lock(world_->mutex);
  if (world_->broken) return BrokenStatus();
  Letter& letter = letters_[static_cast<size_t>(from) * size_ + to];
  DR_RETURN_IF_ERROR(WaitUntil(
      lock, deadline, [&] { return letter.state == Letter::kPosted; },
      [&] { return absl::StrCat("rank ", from, " of ", size_, " to send"); }));
  if (letter.bytes != bytes) {
    return Break(absl::AbortedError(absl::StrCat("ranks disagree: rank ", to, " receives ", bytes,
                                                 " bytes, rank ", from, " sends ", letter.bytes)));
  }
  letter.state = Letter::kCopying;
  lock.unlock();
  if (bytes > 0) std::memcpy(data, letter.data, bytes);
  lock.lock();
  letter.state = Letter::kCopied;
  world_->changed.notify_all();
  return absl::OkStatus();
}

}  // namespace deeprack::worker
