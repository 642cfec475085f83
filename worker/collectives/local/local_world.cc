#include "worker/collectives/local/local_world.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"
#include "worker/collectives/local/local_group.h"
#include "worker/collectives/ordered_sum.h"

namespace deeprack::worker {
namespace {

using Call = LocalGroup::Call;

// memcpy does not allow null pointers, even for 0 bytes.
void Copy(void* to, const void* from, int64_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

int64_t Total(std::span<const int64_t> sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
}

class LocalCommunicator final : public Communicator {
 public:
  LocalCommunicator(std::shared_ptr<LocalGroup> group, int rank) : group_(std::move(group)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return group_->size(); }
  absl::Duration timeout() const override { return group_->timeout(); }

  absl::Status AllReduceSum(void* data, int64_t count, DType type) override {
    // Only rank r reads and writes share r of every buffer, so no scratch memory is needed.
    const Range share = ShareOf(count, rank_, size());
    const int64_t offset = share.begin * static_cast<int64_t>(SizeOf(type));
    const int64_t bytes = share.size() * static_cast<int64_t>(SizeOf(type));
    return group_->Meet(rank_, {.name = "AllReduceSum", .size = count, .out = data},
                        [&](std::span<const Call> calls) {
                          if (share.size() == 0) return;
                          std::vector<const void*> in;
                          in.reserve(calls.size());
                          for (const Call& call : calls)
                            in.push_back(static_cast<const char*>(call.out) + offset);
                          char* mine = static_cast<char*>(data) + offset;
                          OrderedSum(in, share.size(), type, mine);
                          for (int peer = 0; peer < size(); ++peer) {
                            if (peer != rank_)
                              Copy(static_cast<char*>(calls[peer].out) + offset, mine, bytes);
                          }
                        });
  }

  absl::Status AllGather(const void* in, void* out, int64_t bytes) override {
    return AllGatherV(in, out, std::vector<int64_t>(size(), bytes));
  }

  absl::Status AllGatherV(const void* in, void* out, std::span<const int64_t> bytes_of) override {
    DR_CHECK(std::ssize(bytes_of) == size());
    const int64_t total = Total(bytes_of);
    return group_->Meet(rank_, {.name = "AllGather", .size = total, .in = in},
                        [&](std::span<const Call> calls) {
                          char* to = static_cast<char*>(out);
                          for (int peer = 0; peer < size(); ++peer) {
                            if (to != calls[peer].in) Copy(to, calls[peer].in, bytes_of[peer]);
                            to += bytes_of[peer];
                          }
                        });
  }

  absl::Status AllToAllV(const void* in, std::span<const int64_t> send_bytes, void* out,
                         std::span<const int64_t> recv_bytes) override {
    DR_CHECK(std::ssize(send_bytes) == size() && std::ssize(recv_bytes) == size());
    return group_->Meet(
        rank_, {.name = "AllToAllV", .in = in, .in_bytes = send_bytes}, [&](std::span<const Call> calls) {
          char* to = static_cast<char*>(out);
          for (int peer = 0; peer < size(); ++peer) {
            const std::span<const int64_t> sent = calls[peer].in_bytes;
            DR_CHECK(sent[rank_] == recv_bytes[peer]);
            Copy(to, static_cast<const char*>(calls[peer].in) + Total(sent.first(rank_)), recv_bytes[peer]);
            to += recv_bytes[peer];
          }
        });
  }

  absl::Status Send(const void* data, int64_t bytes, int to) override {
    DR_CHECK(to >= 0 && to < size() && to != rank_);
    return group_->Send(data, bytes, rank_, to);
  }

  absl::Status Receive(void* data, int64_t bytes, int from) override {
    DR_CHECK(from >= 0 && from < size() && from != rank_);
    return group_->Receive(data, bytes, from, rank_);
  }

  absl::Status Barrier() override {
    return group_->Meet(rank_, {.name = "Barrier"}, [](std::span<const Call>) {});
  }

  absl::StatusOr<std::unique_ptr<Communicator>> Split(int color) override {
    int rank = 0;
    DR_ASSIGN_OR_RETURN(std::shared_ptr<LocalGroup> group, group_->MeetToSplit(rank_, color, &rank));
    return std::make_unique<LocalCommunicator>(std::move(group), rank);
  }

  absl::Status Await() override { return absl::OkStatus(); }
  void Abort() override { group_->Abort("aborted"); }

 private:
  const std::shared_ptr<LocalGroup> group_;
  const int rank_;
};

}  // namespace

std::vector<std::unique_ptr<Communicator>> MakeLocalWorld(int size, absl::Duration timeout) {
  DR_CHECK(size >= 1);
  auto world = std::make_shared<LocalWorld>();
  world->timeout = std::min(timeout, absl::Hours(24 * 365));  // an infinite timeout would overflow the clock
  auto group = std::make_shared<LocalGroup>(world, size);
  std::vector<std::unique_ptr<Communicator>> ranks;
  for (int rank = 0; rank < size; ++rank) ranks.push_back(std::make_unique<LocalCommunicator>(group, rank));
  return ranks;
}

}  // namespace deeprack::worker
