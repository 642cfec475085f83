// NCCL in non-blocking mode: every call is started, then watched with a deadline, and the communicator is
// aborted when that passes. ncclAllReduce is not used: its order of addition depends on the size and the
// algorithm it picks.
#include <cuda_runtime_api.h>
#include <nccl.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "worker/collectives/nccl/nccl_world.h"
#include "worker/collectives/nccl/ordered_sum_cuda.h"
#include "worker/collectives/ordered_sum.h"

namespace deeprack::worker {
namespace {

using Clock = std::chrono::steady_clock;

// Up to here everyone sends everything to everyone and adds for itself: one round trip instead of two.
constexpr int64_t kOneRoundBytes = 64 * 1024;

// What groups split from one world share.
struct NcclWorld {
  cudaStream_t stream = nullptr;
  absl::Duration timeout;
  std::atomic<bool> broken{false};
  std::mutex mutex;
  std::string why;  // guarded by mutex

  absl::Status BrokenStatus() {
    std::lock_guard lock(mutex);
    return absl::AbortedError(absl::StrCat("the group of ranks is broken: ", why));
  }
  absl::Status Break(absl::Status status) {
    std::lock_guard lock(mutex);
    if (!broken) why = std::string(status.message());
    broken = true;
    return status;
  }
};

class NcclCommunicator final : public Communicator {
 public:
  // Of no use before Init, or before Split has given it a communicator.
  NcclCommunicator(std::shared_ptr<NcclWorld> world, int rank, int size)
      : world_(std::move(world)), rank_(rank), size_(size) {}
  ~NcclCommunicator() override;

  absl::Status Init(const ncclUniqueId& id);

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  absl::Status AllReduceSum(void* data, int64_t count, DType type) override;
  absl::Status AllGather(const void* in, void* out, int64_t bytes) override {
    return AllGatherV(in, out, std::vector<int64_t>(size_, bytes));
  }
  absl::Status AllGatherV(const void* in, void* out, std::span<const int64_t> bytes_of) override;
  absl::Status AllToAllV(const void* in, std::span<const int64_t> send_bytes, void* out,
                         std::span<const int64_t> recv_bytes) override;
  absl::Status Send(const void* data, int64_t bytes, int to) override;
  absl::Status Receive(void* data, int64_t bytes, int from) override;
  absl::Status Barrier() override;
  absl::StatusOr<std::unique_ptr<Communicator>> Split(int color) override;
  void Abort() override { world_->Break(absl::AbortedError("aborted")).IgnoreError(); }

 private:
  // Runs `queue` as one NCCL group on the stream.
  absl::Status Exchange(Clock::time_point deadline, const char* what,
                        const std::function<ncclResult_t()>& queue);
  // Until the host's part of what was started is done; until the stream has done all that is queued.
  absl::Status AwaitStarted(Clock::time_point deadline, const char* what);
  absl::Status AwaitStream(Clock::time_point deadline, const char* what);

  // Both end the kernels that wait for a peer, so that nothing touches the caller's buffers any more.
  absl::Status Fail(const char* what, const char* why);
  absl::Status CheckCuda(cudaError_t error, const char* what) {
    return error == cudaSuccess ? absl::OkStatus() : Fail(what, cudaGetErrorString(error));
  }
  absl::Status GiveUp(const char* what);
  absl::Status CheckIntact() { return world_->broken ? world_->BrokenStatus() : absl::OkStatus(); }
  Clock::time_point DeadlineFromNow() const {
    return Clock::now() + absl::ToChronoNanoseconds(world_->timeout);
  }

  absl::Status ReserveStaging(int64_t bytes);
  absl::Status SumInOneRound(void* data, int64_t count, DType type, Clock::time_point deadline);
  absl::Status SumInShares(void* data, int64_t count, DType type, Clock::time_point deadline);

  const std::shared_ptr<NcclWorld> world_;
  const int rank_;
  const int size_;
  ncclComm_t comm_ = nullptr;
  cudaEvent_t finished_ = nullptr;
  char* staging_ = nullptr;  // device: peers' values on their way into a sum, and a barrier's byte
  int64_t staging_bytes_ = 0;
};

NcclCommunicator::~NcclCommunicator() {
  if (comm_ != nullptr) {
    const Clock::time_point deadline = DeadlineFromNow();
    if (!world_->broken) {
      ncclCommFinalize(comm_);
      AwaitStarted(deadline, "leaving the world").IgnoreError();
    }
    if (comm_ != nullptr) world_->broken ? ncclCommAbort(comm_) : ncclCommDestroy(comm_);
  }
  if (finished_ != nullptr) cudaEventDestroy(finished_);
  if (staging_ != nullptr) cudaFree(staging_);
}

absl::Status NcclCommunicator::Init(const ncclUniqueId& id) {
  const Clock::time_point deadline = DeadlineFromNow();
  DR_RETURN_IF_ERROR(
      CheckCuda(cudaEventCreateWithFlags(&finished_, cudaEventDisableTiming), "cudaEventCreate"));
  DR_RETURN_IF_ERROR(ReserveStaging(size_ * 1024));
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  const ncclResult_t started = ncclCommInitRankConfig(&comm_, size_, id, rank_, &config);
  if (started != ncclSuccess && started != ncclInProgress) {
    return Fail("ncclCommInitRank", ncclGetErrorString(started));
  }
  return AwaitStarted(deadline, "joining the world");
}

absl::Status NcclCommunicator::Fail(const char* what, const char* why) {
  if (comm_ != nullptr) ncclCommAbort(std::exchange(comm_, nullptr));
  return world_->Break(
      absl::AbortedError(absl::StrCat(what, " failed on rank ", rank_, " of ", size_, ": ", why)));
}

absl::Status NcclCommunicator::GiveUp(const char* what) {
  ncclCommAbort(std::exchange(comm_, nullptr));
  if (world_->broken) return world_->BrokenStatus();
  return world_->Break(absl::DeadlineExceededError(absl::StrCat("rank ", rank_, " of ", size_, " waited ",
                                                                absl::FormatDuration(world_->timeout),
                                                                " for its peers in ", what)));
}

absl::Status NcclCommunicator::AwaitStarted(Clock::time_point deadline, const char* what) {
  while (true) {
    ncclResult_t state = ncclInProgress;
    const ncclResult_t asked = ncclCommGetAsyncError(comm_, &state);
    if (asked != ncclSuccess) return Fail(what, ncclGetErrorString(asked));
    if (state == ncclSuccess) return absl::OkStatus();
    if (state != ncclInProgress) return Fail(what, ncclGetErrorString(state));
    if (world_->broken || Clock::now() > deadline) return GiveUp(what);
    std::this_thread::yield();
  }
}

absl::Status NcclCommunicator::AwaitStream(Clock::time_point deadline, const char* what) {
  DR_RETURN_IF_ERROR(CheckCuda(cudaEventRecord(finished_, world_->stream), "cudaEventRecord"));
  while (true) {
    const cudaError_t done = cudaEventQuery(finished_);
    if (done == cudaSuccess) return absl::OkStatus();
    if (done != cudaErrorNotReady) return CheckCuda(done, what);
    ncclResult_t state = ncclSuccess;  // errors that the network reports while kernels wait
    if (ncclCommGetAsyncError(comm_, &state) != ncclSuccess ||
        (state != ncclSuccess && state != ncclInProgress)) {
      return Fail(what, ncclGetErrorString(state));
    }
    if (world_->broken || Clock::now() > deadline) return GiveUp(what);
    std::this_thread::yield();
  }
}

absl::Status NcclCommunicator::Exchange(Clock::time_point deadline, const char* what,
                                        const std::function<ncclResult_t()>& queue) {
  ncclGroupStart();
  const ncclResult_t queued = queue();
  const ncclResult_t started = ncclGroupEnd();
  if (queued != ncclSuccess && queued != ncclInProgress) return Fail(what, ncclGetErrorString(queued));
  if (started != ncclSuccess && started != ncclInProgress) return Fail(what, ncclGetErrorString(started));
  return AwaitStarted(deadline, what);
}

absl::Status NcclCommunicator::ReserveStaging(int64_t bytes) {
  if (bytes <= staging_bytes_) return absl::OkStatus();
  if (staging_ != nullptr) cudaFree(staging_);
  staging_ = nullptr;
  staging_bytes_ = 0;
  DR_RETURN_IF_ERROR(CheckCuda(cudaMalloc(&staging_, bytes), "cudaMalloc for sums"));
  staging_bytes_ = bytes;
  return absl::OkStatus();
}

absl::Status NcclCommunicator::AllReduceSum(void* data, int64_t count, DType type) {
  DR_CHECK(type == DType::kF32 || type == DType::kBF16);
  DR_RETURN_IF_ERROR(CheckIntact());
  if (size_ == 1 || count == 0) return absl::OkStatus();
  const Clock::time_point deadline = DeadlineFromNow();
  const bool small = count * static_cast<int64_t>(SizeOf(type)) <= kOneRoundBytes;
  DR_RETURN_IF_ERROR(small ? SumInOneRound(data, count, type, deadline)
                           : SumInShares(data, count, type, deadline));
  return AwaitStream(deadline, "AllReduceSum");
}

absl::Status NcclCommunicator::SumInOneRound(void* data, int64_t count, DType type,
                                             Clock::time_point deadline) {
  const int64_t bytes = count * static_cast<int64_t>(SizeOf(type));
  DR_RETURN_IF_ERROR(ReserveStaging(bytes * size_));
  DR_RETURN_IF_ERROR(Exchange(deadline, "AllReduceSum", [&] {
    return ncclAllGather(data, staging_, bytes, ncclInt8, comm_, world_->stream);
  }));
  return LaunchOrderedSum(staging_, size_, count, type, data, world_->stream)
             ? absl::OkStatus()
             : Fail("AllReduceSum", "kernel launch");
}

absl::Status NcclCommunicator::SumInShares(void* data, int64_t count, DType type,
                                           Clock::time_point deadline) {
  const int64_t element = static_cast<int64_t>(SizeOf(type));
  char* const bytes = static_cast<char*>(data);
  const Range mine = ShareOf(count, rank_, size_);
  const int64_t my_bytes = mine.size() * element;
  char* const my_share = bytes + mine.begin * element;
  DR_RETURN_IF_ERROR(ReserveStaging(my_bytes * size_));

  // Every rank's values of this rank's share, in rank order; a rank sends to itself too.
  DR_RETURN_IF_ERROR(Exchange(deadline, "AllReduceSum", [&] {
    ncclResult_t result = ncclSuccess;
    for (int peer = 0; peer < size_ && result == ncclSuccess; ++peer) {
      const Range theirs = ShareOf(count, peer, size_);
      result = ncclSend(bytes + theirs.begin * element, theirs.size() * element, ncclInt8, peer, comm_,
                        world_->stream);
      if (result != ncclSuccess) break;
      result = ncclRecv(staging_ + peer * my_bytes, my_bytes, ncclInt8, peer, comm_, world_->stream);
    }
    return result;
  }));
  if (!LaunchOrderedSum(staging_, size_, mine.size(), type, my_share, world_->stream)) {
    return Fail("AllReduceSum", "kernel launch");
  }
  return Exchange(deadline, "AllReduceSum", [&] {
    ncclResult_t result = ncclSuccess;
    for (int peer = 0; peer < size_ && result == ncclSuccess; ++peer) {
      if (peer == rank_) continue;
      const Range theirs = ShareOf(count, peer, size_);
      result = ncclSend(my_share, my_bytes, ncclInt8, peer, comm_, world_->stream);
      if (result != ncclSuccess) break;
      result = ncclRecv(bytes + theirs.begin * element, theirs.size() * element, ncclInt8, peer, comm_,
                        world_->stream);
    }
    return result;
  });
}

absl::Status NcclCommunicator::AllGatherV(const void* in, void* out, std::span<const int64_t> bytes_of) {
  DR_CHECK(std::ssize(bytes_of) == size_);
  const std::vector<int64_t> send_bytes(size_, bytes_of[rank_]);
  DR_RETURN_IF_ERROR(CheckIntact());
  const Clock::time_point deadline = DeadlineFromNow();
  DR_RETURN_IF_ERROR(Exchange(deadline, "AllGather", [&] {
    ncclResult_t result = ncclSuccess;
    char* to = static_cast<char*>(out);
    for (int peer = 0; peer < size_ && result == ncclSuccess; ++peer) {
      if (bytes_of[rank_] > 0) result = ncclSend(in, bytes_of[rank_], ncclInt8, peer, comm_, world_->stream);
      if (result == ncclSuccess && bytes_of[peer] > 0) {
        result = ncclRecv(to, bytes_of[peer], ncclInt8, peer, comm_, world_->stream);
      }
      to += bytes_of[peer];
    }
    return result;
  }));
  return AwaitStream(deadline, "AllGather");
}

absl::Status NcclCommunicator::AllToAllV(const void* in, std::span<const int64_t> send_bytes, void* out,
                                         std::span<const int64_t> recv_bytes) {
  DR_CHECK(std::ssize(send_bytes) == size_ && std::ssize(recv_bytes) == size_);
  DR_RETURN_IF_ERROR(CheckIntact());
  const Clock::time_point deadline = DeadlineFromNow();
  DR_RETURN_IF_ERROR(Exchange(deadline, "AllToAllV", [&] {
    ncclResult_t result = ncclSuccess;
    const char* from = static_cast<const char*>(in);
    char* to = static_cast<char*>(out);
    for (int peer = 0; peer < size_ && result == ncclSuccess; ++peer) {
      if (send_bytes[peer] > 0)
        result = ncclSend(from, send_bytes[peer], ncclInt8, peer, comm_, world_->stream);
      if (result == ncclSuccess && recv_bytes[peer] > 0) {
        result = ncclRecv(to, recv_bytes[peer], ncclInt8, peer, comm_, world_->stream);
      }
      from += send_bytes[peer];
      to += recv_bytes[peer];
    }
    return result;
  }));
  return AwaitStream(deadline, "AllToAllV");
}

absl::Status NcclCommunicator::Send(const void* data, int64_t bytes, int to) {
  DR_CHECK(to >= 0 && to < size_ && to != rank_);
  DR_RETURN_IF_ERROR(CheckIntact());
  if (bytes == 0) return absl::OkStatus();
  const Clock::time_point deadline = DeadlineFromNow();
  DR_RETURN_IF_ERROR(
      Exchange(deadline, "Send", [&] { return ncclSend(data, bytes, ncclInt8, to, comm_, world_->stream); }));
  return AwaitStream(deadline, "Send");
}

absl::Status NcclCommunicator::Receive(void* data, int64_t bytes, int from) {
  DR_CHECK(from >= 0 && from < size_ && from != rank_);
  DR_RETURN_IF_ERROR(CheckIntact());
  if (bytes == 0) return absl::OkStatus();
  const Clock::time_point deadline = DeadlineFromNow();
  DR_RETURN_IF_ERROR(Exchange(deadline, "Receive",
                              [&] { return ncclRecv(data, bytes, ncclInt8, from, comm_, world_->stream); }));
  return AwaitStream(deadline, "Receive");
}

absl::Status NcclCommunicator::Barrier() {
  DR_RETURN_IF_ERROR(CheckIntact());
  const Clock::time_point deadline = DeadlineFromNow();
  DR_RETURN_IF_ERROR(Exchange(deadline, "Barrier", [&] {
    return ncclAllGather(staging_ + rank_, staging_, 1, ncclInt8, comm_, world_->stream);
  }));
  return AwaitStream(deadline, "Barrier");
}

absl::StatusOr<std::unique_ptr<Communicator>> NcclCommunicator::Split(int color) {
  DR_RETURN_IF_ERROR(CheckIntact());
  const Clock::time_point deadline = DeadlineFromNow();
  DR_CHECK(color > -(1 << 30) && color < (1 << 30));
  const int natural = color >= 0 ? 2 * color : -2 * color - 1;  // NCCL's colors are not negative
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclComm_t comm = nullptr;
  const ncclResult_t started = ncclCommSplit(comm_, natural, rank_, &comm, &config);
  if (started != ncclSuccess && started != ncclInProgress) return Fail("Split", ncclGetErrorString(started));
  DR_RETURN_IF_ERROR(AwaitStarted(deadline, "Split"));
  int rank = 0;
  int size = 0;
  ncclCommUserRank(comm, &rank);
  ncclCommCount(comm, &size);
  auto group = std::make_unique<NcclCommunicator>(world_, rank, size);
  group->comm_ = comm;
  DR_RETURN_IF_ERROR(group->AwaitStarted(deadline, "Split"));
  DR_RETURN_IF_ERROR(group->CheckCuda(cudaEventCreateWithFlags(&group->finished_, cudaEventDisableTiming),
                                      "cudaEventCreate"));
  DR_RETURN_IF_ERROR(group->ReserveStaging(size * 1024));
  return group;
}

}  // namespace

absl::StatusOr<std::string> NewNcclWorldId() {
  ncclUniqueId id;
  const ncclResult_t made = ncclGetUniqueId(&id);
  if (made != ncclSuccess)
    return absl::UnavailableError(absl::StrCat("ncclGetUniqueId: ", ncclGetErrorString(made)));
  return std::string(id.internal, sizeof(id.internal));
}

absl::StatusOr<std::unique_ptr<Communicator>> JoinNcclWorld(const std::string& id, int rank, int size,
                                                            CUstream_st* stream, absl::Duration timeout) {
  ncclUniqueId unique;
  if (id.size() != sizeof(unique.internal) || size < 1 || rank < 0 || rank >= size) {
    return absl::InvalidArgumentError(absl::StrCat("NCCL world: id of ", id.size(), " bytes (",
                                                   sizeof(unique.internal), " are right), rank ", rank,
                                                   " of ", size));
  }
  std::memcpy(unique.internal, id.data(), id.size());
  auto world = std::make_shared<NcclWorld>();
  world->stream = stream;
  world->timeout = timeout;
  auto communicator = std::make_unique<NcclCommunicator>(std::move(world), rank, size);
  DR_RETURN_IF_ERROR(communicator->Init(unique));
  return communicator;
}

}  // namespace deeprack::worker
