#include "worker/collectives/message_communicator.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "worker/collectives/ordered_sum.h"

namespace deeprack::worker {
namespace {

using Clock = std::chrono::steady_clock;

// Bytes. Up to this size every rank sends all values to all ranks and each rank sums them: one round trip
// instead of two.
constexpr int64_t kOneRoundBytes = 16 * 1024;

struct SplitProposal {
  int32_t color;
  int32_t tag;
};

class MessageCommunicator final : public Communicator {
 public:
  // `ranks`: numbers in the transport's world, ascending. This process is ranks[rank].
  MessageCommunicator(std::shared_ptr<MessageTransport> transport, std::vector<int> ranks, int rank,
                      int first_tag, absl::Duration timeout)
      : transport_(std::move(transport)),
        ranks_(std::move(ranks)),
        rank_(rank),
        first_tag_(first_tag),
        timeout_(timeout) {}

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(ranks_.size()); }
  absl::Duration timeout() const override { return timeout_; }

  absl::Status AllReduceSum(void* data, int64_t count, DType type) override;
  absl::Status AllGather(const void* in, void* out, int64_t bytes) override {
    return AllGatherV(in, out, std::vector<int64_t>(size(), bytes));
  }
  absl::Status AllGatherV(const void* in, void* out, std::span<const int64_t> bytes_of) override;
  absl::Status AllToAllV(const void* in, std::span<const int64_t> send_bytes, void* out,
                         std::span<const int64_t> recv_bytes) override;
  absl::Status Send(const void* data, int64_t bytes, int to) override;
  absl::Status Receive(void* data, int64_t bytes, int from) override;
  absl::Status Barrier() override;
  absl::Status Await() override { return absl::OkStatus(); }
  absl::StatusOr<std::unique_ptr<Communicator>> Split(int color) override;
  void Abort() override { transport_->Break(absl::StrCat("rank ", transport_->rank(), " aborted")); }

 private:
  int group_tag() const { return first_tag_; }
  int neighbour_tag() const { return first_tag_ + 1; }

  // Start a message with a peer of the group, unless it has no bytes.
  absl::Status QueueSend(const void* data, int64_t bytes, int to, int tag);
  absl::Status QueueReceive(void* data, int64_t bytes, int from, int tag);
  // Waits for all messages of a call that began at `start`. Must follow the Queue calls, also after
  // an error.
  absl::Status Finish(absl::Status queued, Clock::time_point start, const char* what);

  // Receives `bytes` bytes from each peer into staging_. Returns pointers to all ranks' values; this rank's
  // pointer is `mine`.
  std::vector<const void*> Stage(const void* mine, int64_t bytes);

  absl::Status SumInOneRound(void* data, int64_t count, DType type, Clock::time_point start);
  absl::Status SumInShares(void* data, int64_t count, DType type, Clock::time_point start);

  const std::shared_ptr<MessageTransport> transport_;
  const std::vector<int> ranks_;
  const int rank_;
  const int first_tag_;
  const absl::Duration timeout_;
  std::vector<char> staging_;  // peers' values for a sum
};

absl::Status MessageCommunicator::QueueSend(const void* data, int64_t bytes, int to, int tag) {
  return bytes == 0 ? absl::OkStatus() : transport_->StartSend(data, bytes, ranks_[to], tag);
}

absl::Status MessageCommunicator::QueueReceive(void* data, int64_t bytes, int from, int tag) {
  return bytes == 0 ? absl::OkStatus() : transport_->StartReceive(data, bytes, ranks_[from], tag);
}

absl::Status MessageCommunicator::Finish(absl::Status queued, Clock::time_point start, const char* what) {
  // If queueing failed, the transport is broken, and Finish abandons the messages that were started.
  absl::Status finished = transport_->Finish(start, timeout_, what);
  return queued.ok() ? finished : queued;
}

std::vector<const void*> MessageCommunicator::Stage(const void* mine, int64_t bytes) {
  if (std::ssize(staging_) < bytes * size()) staging_.resize(bytes * size());
  std::vector<const void*> parts(size());
  for (int peer = 0; peer < size(); ++peer)
    parts[peer] = peer == rank_ ? mine : staging_.data() + peer * bytes;
  return parts;
}

absl::Status MessageCommunicator::SumInOneRound(void* data, int64_t count, DType type,
                                                Clock::time_point start) {
  const int64_t bytes = count * static_cast<int64_t>(SizeOf(type));
  const std::vector<const void*> parts = Stage(data, bytes);
  absl::Status queued;
  for (int peer = 0; peer < size() && queued.ok(); ++peer) {
    if (peer != rank_) queued = QueueReceive(const_cast<void*>(parts[peer]), bytes, peer, group_tag());
  }
  for (int peer = 0; peer < size() && queued.ok(); ++peer) {
    if (peer != rank_) queued = QueueSend(data, bytes, peer, group_tag());
  }
  DR_RETURN_IF_ERROR(Finish(std::move(queued), start, "AllReduceSum"));
  OrderedSum(parts, count, type, data);
  return absl::OkStatus();
}

absl::Status MessageCommunicator::SumInShares(void* data, int64_t count, DType type,
                                              Clock::time_point start) {
  const int64_t element = static_cast<int64_t>(SizeOf(type));
  char* const bytes = static_cast<char*>(data);
  const Range mine = ShareOf(count, rank_, size());
  const std::vector<const void*> parts = Stage(bytes + mine.begin * element, mine.size() * element);

  absl::Status queued;
  for (int peer = 0; peer < size() && queued.ok(); ++peer) {
    if (peer == rank_) continue;
    queued = QueueReceive(const_cast<void*>(parts[peer]), mine.size() * element, peer, group_tag());
  }
  for (int peer = 0; peer < size() && queued.ok(); ++peer) {
    if (peer == rank_) continue;
    const Range theirs = ShareOf(count, peer, size());
    queued = QueueSend(bytes + theirs.begin * element, theirs.size() * element, peer, group_tag());
  }
  DR_RETURN_IF_ERROR(Finish(std::move(queued), start, "AllReduceSum"));

  OrderedSum(parts, mine.size(), type, bytes + mine.begin * element);

  queued = absl::OkStatus();
  for (int peer = 0; peer < size() && queued.ok(); ++peer) {
    if (peer == rank_) continue;
    const Range theirs = ShareOf(count, peer, size());
    queued = QueueReceive(bytes + theirs.begin * element, theirs.size() * element, peer, group_tag());
  }
  for (int peer = 0; peer < size() && queued.ok(); ++peer) {
    if (peer != rank_)
      queued = QueueSend(bytes + mine.begin * element, mine.size() * element, peer, group_tag());
  }
  return Finish(std::move(queued), start, "AllReduceSum");
}

absl::Status MessageCommunicator::AllReduceSum(void* data, int64_t count, DType type) {
  DR_CHECK(type == DType::kF32 || type == DType::kBF16);
  DR_RETURN_IF_ERROR(transport_->CheckIntact());
  if (size() == 1) return absl::OkStatus();
  const Clock::time_point start = Clock::now();
  const bool small = count * static_cast<int64_t>(SizeOf(type)) <= kOneRoundBytes;
  return small ? SumInOneRound(data, count, type, start) : SumInShares(data, count, type, start);
}

absl::Status MessageCommunicator::AllGatherV(const void* in, void* out, std::span<const int64_t> bytes_of) {
  DR_CHECK(std::ssize(bytes_of) == size());
  DR_RETURN_IF_ERROR(transport_->CheckIntact());
  const Clock::time_point start = Clock::now();
  absl::Status queued;
  char* to = static_cast<char*>(out);
  for (int peer = 0; peer < size() && queued.ok(); ++peer) {
    if (peer != rank_) {
      queued = QueueReceive(to, bytes_of[peer], peer, group_tag());
    } else if (bytes_of[peer] > 0 && to != in) {
      std::memcpy(to, in, bytes_of[peer]);
    }
    to += bytes_of[peer];
  }
  for (int peer = 0; peer < size() && queued.ok(); ++peer) {
    if (peer != rank_) queued = QueueSend(in, bytes_of[rank_], peer, group_tag());
  }
  return Finish(std::move(queued), start, "AllGather");
}

absl::Status MessageCommunicator::AllToAllV(const void* in, std::span<const int64_t> send_bytes, void* out,
                                            std::span<const int64_t> recv_bytes) {
  DR_CHECK(std::ssize(send_bytes) == size() && std::ssize(recv_bytes) == size());
  DR_CHECK(send_bytes[rank_] == recv_bytes[rank_]);
  DR_RETURN_IF_ERROR(transport_->CheckIntact());
  const Clock::time_point start = Clock::now();
  absl::Status queued;
  char* to = static_cast<char*>(out);
  char* own = nullptr;
  for (int peer = 0; peer < size() && queued.ok(); ++peer) {
    if (peer == rank_) {
      own = to;
    } else {
      queued = QueueReceive(to, recv_bytes[peer], peer, group_tag());
    }
    to += recv_bytes[peer];
  }
  const char* from = static_cast<const char*>(in);
  for (int peer = 0; peer < size() && queued.ok(); ++peer) {
    if (peer != rank_) {
      queued = QueueSend(from, send_bytes[peer], peer, group_tag());
    } else if (send_bytes[peer] > 0) {
      std::memcpy(own, from, send_bytes[peer]);
    }
    from += send_bytes[peer];
  }
  return Finish(std::move(queued), start, "AllToAllV");
}

absl::Status MessageCommunicator::Send(const void* data, int64_t bytes, int to) {
  DR_CHECK(to >= 0 && to < size() && to != rank_);
  DR_RETURN_IF_ERROR(transport_->CheckIntact());
  const Clock::time_point start = Clock::now();
  return Finish(QueueSend(data, bytes, to, neighbour_tag()), start, "Send");
}

absl::Status MessageCommunicator::Receive(void* data, int64_t bytes, int from) {
  DR_CHECK(from >= 0 && from < size() && from != rank_);
  DR_RETURN_IF_ERROR(transport_->CheckIntact());
  const Clock::time_point start = Clock::now();
  return Finish(QueueReceive(data, bytes, from, neighbour_tag()), start, "Receive");
}

absl::Status MessageCommunicator::Barrier() {
  const char token = 0;
  std::vector<char> tokens(size());
  return AllGather(&token, tokens.data(), 1);
}

absl::StatusOr<std::unique_ptr<Communicator>> MessageCommunicator::Split(int color) {
  // The new group's tags must be free on each of its members: the highest of the proposals is.
  const SplitProposal mine{color, transport_->proposed_tag()};
  std::vector<SplitProposal> all(size());
  DR_RETURN_IF_ERROR(AllGather(&mine, all.data(), sizeof(mine)));
  std::vector<int> members;
  int rank = 0;
  int tag = 0;
  for (int peer = 0; peer < size(); ++peer) {
    if (all[peer].color != color) continue;
    if (peer == rank_) rank = static_cast<int>(members.size());
    members.push_back(ranks_[peer]);
    tag = std::max(tag, all[peer].tag);
  }
  if (tag > MessageTransport::kLargestTag - MessageTransport::kTagsPerGroup) {
    return absl::ResourceExhaustedError("this process has split too many groups: the tags are used up");
  }
  transport_->TakeTags(tag);
  return std::make_unique<MessageCommunicator>(transport_, std::move(members), rank, tag, timeout_);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Communicator>> MakeMessageCommunicator(
    std::shared_ptr<MessageTransport> transport, absl::Duration timeout) {
  DR_RETURN_IF_ERROR(transport->CheckIntact());
  std::vector<int> ranks(transport->size());
  std::iota(ranks.begin(), ranks.end(), 0);
  const int rank = transport->rank();
  MessageCommunicator everyone(std::move(transport), std::move(ranks), rank, MessageTransport::kFirstTag,
                               timeout);
  return everyone.Split(0);
}

}  // namespace deeprack::worker
