// NCCL in non-blocking mode. Calls are queued on the device's stream; only Await waits. After Await's
// deadline every communicator of the world is aborted. ncclAllReduce is not used: its order of addition
// depends on the size and on the algorithm that NCCL chooses.
#include <cuda_runtime_api.h>
#include <nccl.h>

#include <algorithm>
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
#include "base/checked.h"
#include "base/status_macros.h"
#include "worker/collectives/nccl/nccl_world.h"
#include "worker/collectives/nccl/ordered_sum_cuda.h"
#include "worker/collectives/ordered_sum.h"

namespace deeprack::worker {
namespace {

using Clock = std::chrono::steady_clock;

// Bytes. Up to this size every rank sends all values to all ranks and each rank sums them: one round trip
// instead of two.
constexpr int64_t kOneRoundBytes = 64 * 1024;

// Bytes of each group's memory for peers' values of a sum. Larger sums are made in pieces; elements do not
// depend on each other.
constexpr int64_t kStagingBytes = int64_t{16} << 20;

// State that all groups of one world share. Other threads access only `broken` and `why`.
struct NcclWorld {
  std::shared_ptr<Device> device;
  cudaStream_t stream = nullptr;
  absl::Duration timeout;
  std::vector<ncclComm_t> comms;  // of all groups; empty after an abort
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
  // Ends the kernels that wait for a peer. After that no kernel touches a caller's buffers.
  void AbortAll() {
    for (const ncclComm_t comm : std::exchange(comms, {})) ncclCommAbort(comm);
  }
};

class NcclCommunicator final : public Communicator {
 public:
  // Usable only after Init, or after Split has given it a communicator.
  NcclCommunicator(std::shared_ptr<NcclWorld> world, int rank, int size)
      : world_(std::move(world)), rank_(rank), size_(size) {}
  ~NcclCommunicator() override;

  absl::Status Init(const ncclUniqueId& id);

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  absl::Duration timeout() const override { return world_->timeout; }

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
  absl::Status Await() override;
  absl::StatusOr<std::unique_ptr<Communicator>> Split(int color) override;
  void Abort() override { world_->Break(absl::AbortedError("aborted")).IgnoreError(); }

 private:
  // Sets the communicator, which has been started, and allocates the staging memory.
  absl::Status TakeComm(ncclComm_t comm, Clock::time_point deadline, const char* what);
  // Queues `calls` on the stream as one NCCL group.
  absl::Status Exchange(const char* what, const std::function<ncclResult_t()>& calls);
  // Waits until the host's part of the started calls is done.
  absl::Status AwaitStarted(Clock::time_point deadline, const char* what);

  absl::Status Fail(const char* what, const char* why) {
    world_->AbortAll();
    return world_->Break(
        absl::AbortedError(absl::StrCat(what, " failed on rank ", rank_, " of ", size_, ": ", why)));
  }
  absl::Status CheckCuda(cudaError_t error, const char* what) {
    return error == cudaSuccess ? absl::OkStatus() : Fail(what, cudaGetErrorString(error));
  }
  absl::Status GiveUp(const char* what);
  absl::Status CheckIntact() { return world_->broken ? world_->BrokenStatus() : absl::OkStatus(); }
  Clock::time_point DeadlineFromNow() const {
    return Clock::now() + absl::ToChronoNanoseconds(world_->timeout);
  }

  absl::Status SumInOneRound(void* data, int64_t count, DType type);
  absl::Status SumInShares(void* data, int64_t count, DType type);

  const std::shared_ptr<NcclWorld> world_;
  const int rank_;
  const int size_;
  ncclComm_t comm_ = nullptr;  // must not be used after the world is broken
  cudaEvent_t finished_ = nullptr;
  Memory staging_;
};

NcclCommunicator::~NcclCommunicator() {
  if (finished_ != nullptr) cudaEventDestroy(finished_);
  const auto own = std::find(world_->comms.begin(), world_->comms.end(), comm_);
  if (comm_ == nullptr || own == world_->comms.end()) return;  // never started, or aborted
  if (!world_->broken) {
    ncclCommFinalize(comm_);
    if (!AwaitStarted(DeadlineFromNow(), "leaving the world").ok()) return;
  }
  world_->comms.erase(std::find(world_->comms.begin(), world_->comms.end(), comm_));
  world_->broken ? ncclCommAbort(comm_) : ncclCommDestroy(comm_);
}

absl::Status NcclCommunicator::Init(const ncclUniqueId& id) {
  const Clock::time_point deadline = DeadlineFromNow();
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclComm_t comm = nullptr;
  const ncclResult_t started = ncclCommInitRankConfig(&comm, size_, id, rank_, &config);
  if (started != ncclSuccess && started != ncclInProgress) {
    return Fail("ncclCommInitRank", ncclGetErrorString(started));
  }
  return TakeComm(comm, deadline, "joining the world");
}

absl::Status NcclCommunicator::TakeComm(ncclComm_t comm, Clock::time_point deadline, const char* what) {
  comm_ = comm;
  world_->comms.push_back(comm);
  DR_RETURN_IF_ERROR(AwaitStarted(deadline, what));
  DR_RETURN_IF_ERROR(
      CheckCuda(cudaEventCreateWithFlags(&finished_, cudaEventDisableTiming), "cudaEventCreate"));
  DR_ASSIGN_OR_RETURN(staging_, world_->device->Allocate("staging of collectives", kStagingBytes));
  return absl::OkStatus();
}

absl::Status NcclCommunicator::GiveUp(const char* what) {
  world_->AbortAll();
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

absl::Status NcclCommunicator::Await() {
  DR_RETURN_IF_ERROR(CheckIntact());
  constexpr char kWhat[] = "an exchange";
  const Clock::time_point deadline = DeadlineFromNow();
  DR_RETURN_IF_ERROR(CheckCuda(cudaEventRecord(finished_, world_->stream), "cudaEventRecord"));
  while (true) {
    const cudaError_t done = cudaEventQuery(finished_);
    if (done == cudaSuccess) return absl::OkStatus();
    if (done != cudaErrorNotReady) return CheckCuda(done, kWhat);
    for (const ncclComm_t comm :
         world_->comms) {  // asks for errors that the network reports while kernels wait
      ncclResult_t state = ncclSuccess;
      const ncclResult_t asked = ncclCommGetAsyncError(comm, &state);
      if (asked != ncclSuccess) return Fail(kWhat, ncclGetErrorString(asked));
      if (state != ncclSuccess && state != ncclInProgress) return Fail(kWhat, ncclGetErrorString(state));
    }
    if (world_->broken || Clock::now() > deadline) return GiveUp(kWhat);
    std::this_thread::yield();
  }
}

absl::Status NcclCommunicator::Exchange(const char* what, const std::function<ncclResult_t()>& calls) {
  DR_RETURN_IF_ERROR(CheckIntact());
  const Clock::time_point deadline = DeadlineFromNow();
  ncclGroupStart();
  const ncclResult_t queued = calls();
  const ncclResult_t started = ncclGroupEnd();
  if (queued != ncclSuccess && queued != ncclInProgress) return Fail(what, ncclGetErrorString(queued));
  if (started != ncclSuccess && started != ncclInProgress) return Fail(what, ncclGetErrorString(started));
  return AwaitStarted(deadline, what);
}

absl::Status NcclCommunicator::AllReduceSum(void* data, int64_t count, DType type) {
  DR_CHECK(type == DType::kF32 || type == DType::kBF16);
  DR_RETURN_IF_ERROR(CheckIntact());
  if (size_ == 1 || count == 0) return absl::OkStatus();
  const int64_t element = static_cast<int64_t>(SizeOf(type));
  if (const int64_t bytes = count * element; bytes <= kOneRoundBytes && bytes * size_ <= kStagingBytes) {
    return SumInOneRound(data, count, type);
  }
  // The values of all ranks for one share take the size of the piece, plus or minus one element for each
  // rank.
  const int64_t piece = kStagingBytes / element - size_;
  for (int64_t begin = 0; begin < count; begin += piece) {
    DR_RETURN_IF_ERROR(
        SumInShares(static_cast<char*>(data) + begin * element, std::min(piece, count - begin), type));
  }
  return absl::OkStatus();
}

absl::Status NcclCommunicator::SumInOneRound(void* data, int64_t count, DType type) {
  const int64_t bytes = count * static_cast<int64_t>(SizeOf(type));
  DR_RETURN_IF_ERROR(Exchange("AllReduceSum", [&] {
    return ncclAllGather(data, staging_.data(), bytes, ncclInt8, comm_, world_->stream);
  }));
  return LaunchOrderedSum(staging_.data(), size_, count, type, data, world_->stream)
             ? absl::OkStatus()
             : Fail("AllReduceSum", "kernel launch");
}

absl::Status NcclCommunicator::SumInShares(void* data, int64_t count, DType type) {
  const int64_t element = static_cast<int64_t>(SizeOf(type));
  char* const bytes = static_cast<char*>(data);
  const Range mine = ShareOf(count, rank_, size_);
  const int64_t my_bytes = mine.size() * element;
  char* const my_share = bytes + mine.begin * element;

  // The values of all ranks for this rank's share, in rank order. A rank also sends to itself.
  DR_RETURN_IF_ERROR(Exchange("AllReduceSum", [&] {
    ncclResult_t result = ncclSuccess;
    for (int peer = 0; peer < size_ && result == ncclSuccess; ++peer) {
      const Range theirs = ShareOf(count, peer, size_);
      result = ncclSend(bytes + theirs.begin * element, theirs.size() * element, ncclInt8, peer, comm_,
                        world_->stream);
      if (result != ncclSuccess) break;
      result = ncclRecv(staging_.data() + peer * my_bytes, my_bytes, ncclInt8, peer, comm_, world_->stream);
    }
    return result;
  }));
  if (!LaunchOrderedSum(staging_.data(), size_, mine.size(), type, my_share, world_->stream)) {
    return Fail("AllReduceSum", "kernel launch");
  }
  return Exchange("AllReduceSum", [&] {
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
  return Exchange("AllGather", [&] {
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
  });
}

absl::Status NcclCommunicator::AllToAllV(const void* in, std::span<const int64_t> send_bytes, void* out,
                                         std::span<const int64_t> recv_bytes) {
  DR_CHECK(std::ssize(send_bytes) == size_ && std::ssize(recv_bytes) == size_);
  return Exchange("AllToAllV", [&] {
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
  });
}

absl::Status NcclCommunicator::Send(const void* data, int64_t bytes, int to) {
  DR_CHECK(to >= 0 && to < size_ && to != rank_);
  if (bytes == 0) return CheckIntact();
  return Exchange("Send", [&] { return ncclSend(data, bytes, ncclInt8, to, comm_, world_->stream); });
}

absl::Status NcclCommunicator::Receive(void* data, int64_t bytes, int from) {
  DR_CHECK(from >= 0 && from < size_ && from != rank_);
  if (bytes == 0) return CheckIntact();
  return Exchange("Receive", [&] { return ncclRecv(data, bytes, ncclInt8, from, comm_, world_->stream); });
}

absl::Status NcclCommunicator::Barrier() {
  DR_RETURN_IF_ERROR(Exchange("Barrier", [&] {
    return ncclAllGather(staging_.data() + rank_, staging_.data(), 1, ncclInt8, comm_, world_->stream);
  }));
  return Await();
}

absl::StatusOr<std::unique_ptr<Communicator>> NcclCommunicator::Split(int color) {
  DR_RETURN_IF_ERROR(CheckIntact());
  const Clock::time_point deadline = DeadlineFromNow();
  DR_CHECK(color > -(1 << 30) && color < (1 << 30));
  const int natural = color >= 0 ? 2 * color : -2 * color - 1;  // NCCL does not accept negative colors
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
  DR_RETURN_IF_ERROR(group->TakeComm(comm, deadline, "Split"));
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
                                                            std::shared_ptr<Device> device,
                                                            absl::Duration timeout) {
  ncclUniqueId unique;
  if (id.size() != sizeof(unique.internal) || size < 1 || rank < 0 || rank >= size) {
    return absl::InvalidArgumentError(absl::StrCat("NCCL world: the id has ", id.size(), " bytes, expected ",
                                                   sizeof(unique.internal), "; rank ", rank, " of ", size));
  }
  std::memcpy(unique.internal, id.data(), id.size());
  auto world = std::make_shared<NcclWorld>();
  world->stream = static_cast<cudaStream_t>(device->execution().stream);
  world->device = std::move(device);
  world->timeout = timeout;
  auto communicator = std::make_unique<NcclCommunicator>(std::move(world), rank, size);
  DR_RETURN_IF_ERROR(communicator->Init(unique));
  return communicator;
}

}  // namespace deeprack::worker
