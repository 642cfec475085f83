#include "worker/device/cuda/cuda_device.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/fnv.h"
#include "base/status_macros.h"
#include "kernels/api/thread_pool.h"
#include "worker/device/host_memory.h"

namespace deeprack::worker {
namespace {

// An error of the card or the driver in queued work. The card's results cannot be relied on afterwards.
absl::Status Failed(cudaError_t error, std::string_view what) {
  return absl::InternalError(absl::StrCat("the card failed in ", std::string(what), ": ",
                                          cudaGetErrorString(error), " (", cudaGetErrorName(error), ")"));
}

absl::Status Check(cudaError_t error, std::string_view what) {
  return error == cudaSuccess ? absl::OkStatus() : Failed(error, what);
}

std::string BusAddressOf(int index) {
  char bus[64] = {};
  cudaDeviceGetPCIBusId(bus, sizeof(bus), index);
  return bus;
}

// The contents of a card's PeerTicket.
struct CardTicket {
  uint64_t host = 0;
  char bus[32] = {};
  cudaIpcMemHandle_t memory;
};
static_assert(sizeof(CardTicket) <= sizeof(PeerTicket::bytes));

uint64_t IdentityOf(int index) { return Fnv1a(BusAddressOf(index), HostIdentity()); }

class CudaGraph final : public Graph {
 public:
  CudaGraph(cudaGraphExec_t graph, size_t nodes, cudaStream_t stream)
      : graph_(graph), nodes_(nodes), stream_(stream) {}
  ~CudaGraph() override { cudaGraphExecDestroy(graph_); }
  absl::Status Replay() override { return Check(cudaGraphLaunch(graph_, stream_), "a graph's launch"); }
  int64_t kernels() const override { return static_cast<int64_t>(nodes_); }

 private:
  const cudaGraphExec_t graph_;
  const size_t nodes_;
  const cudaStream_t stream_;
};

class CudaDevice final : public Device {
 public:
  CudaDevice(int index, kernels::CardProperties card, const kernels::KernelChoice& choice,
             cudaStream_t stream, int threads)
      : index_(index),
        card_(std::move(card)),
        kernels_(kernels::CardKernels(choice)),
        stream_(stream),
        pool_(kernels::MakeThreadPool(threads)),
        execution_{.pool = pool_.get(), .stream = stream, .multiprocessors = card_.multiprocessors} {}
  ~CudaDevice() override { cudaStreamDestroy(stream_); }

  std::string_view backend() const override { return "cuda"; }
  std::string description() const override {
    return absl::StrCat("cuda ", index_, ", ", card_.name, ", compute capability ", card_.major, ".",
                        card_.minor);
  }
  const kernels::KernelSet& kernels() const override { return kernels_; }
  const kernels::Execution& execution() const override { return execution_; }

  bool shares_host_memory() const override { return false; }
  uint64_t memory_identity() const override { return IdentityOf(index_); }
  int64_t AvailableBytes() const override {
    size_t available = 0;
    size_t total = 0;
    return cudaMemGetInfo(&available, &total) == cudaSuccess ? static_cast<int64_t>(available) : 0;
  }

  absl::StatusOr<Memory> Allocate(const std::string& purpose, int64_t bytes) override {
    if (bytes == 0) return Memory();
    void* data = nullptr;
    if (const cudaError_t error = cudaMalloc(&data, static_cast<size_t>(bytes)); error != cudaSuccess) {
      return Refused(purpose, bytes, error,
                     absl::StrCat(AvailableBytes(), " bytes of the card's memory are free"));
    }
    Memory memory(static_cast<std::byte*>(data), bytes, [](std::byte* p, int64_t) { cudaFree(p); });
    DR_RETURN_IF_ERROR(
        Check(cudaMemsetAsync(data, 0, static_cast<size_t>(bytes), stream_), "clearing memory"));
    return memory;
  }

  absl::StatusOr<Memory> AllocateForPeers(const std::string& purpose, int64_t bytes) override {
    DR_CHECK(bytes % kPeerMemoryUnit == 0);
    return Allocate(purpose, bytes);
  }
  absl::StatusOr<PeerTicket> TicketOf(const Memory& memory) override;
  absl::StatusOr<Memory> OpenPeerMemory(const PeerTicket& ticket) override;
  absl::StatusOr<Memory> AllocateStaging(const std::string& purpose, int64_t bytes) override {
    if (bytes == 0) return Memory();
    void* data = nullptr;
    if (const cudaError_t error = cudaHostAlloc(&data, static_cast<size_t>(bytes), cudaHostAllocPortable);
        error != cudaSuccess) {
      return Refused(purpose, bytes, error,
                     absl::StrCat("pinned host memory is needed, ", AvailableHostBytes(),
                                  " bytes of the host's memory are free"));
    }
    std::memset(data, 0, static_cast<size_t>(bytes));  // may hold data of another process
    return Memory(static_cast<std::byte*>(data), bytes, [](std::byte* p, int64_t) { cudaFreeHost(p); });
  }

  absl::Status CopyIn(void* to, const void* from_host, int64_t bytes) override {
    return Copy(to, from_host, bytes, cudaMemcpyHostToDevice, "a copy to the card");
  }
  absl::Status CopyOut(void* to_host, const void* from, int64_t bytes) override {
    return Copy(to_host, from, bytes, cudaMemcpyDeviceToHost, "a copy from the card");
  }
  absl::Status CopyWithin(void* to, const void* from, int64_t bytes) override {
    return Copy(to, from, bytes, cudaMemcpyDeviceToDevice, "a copy within the card");
  }

  bool records_graphs() const override { return true; }
  absl::StatusOr<std::unique_ptr<Graph>> Record(const std::function<absl::Status()>& queue) override {
    DR_RETURN_IF_ERROR(
        Check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "beginning a recording"));
    const absl::Status queued = queue();
    cudaGraph_t recorded = nullptr;
    const cudaError_t ended = cudaStreamEndCapture(stream_, &recorded);
    if (!queued.ok()) {
      if (recorded != nullptr) cudaGraphDestroy(recorded);
      return queued;
    }
    DR_RETURN_IF_ERROR(Check(ended, "a recording"));
    size_t nodes = 0;
    const cudaError_t counted = cudaGraphGetNodes(recorded, nullptr, &nodes);
    cudaGraphExec_t graph = nullptr;
    const cudaError_t made = cudaGraphInstantiate(&graph, recorded, 0);
    cudaGraphDestroy(recorded);
    DR_RETURN_IF_ERROR(Check(counted, "counting a recording's kernels"));
    DR_RETURN_IF_ERROR(Check(made, "preparing a recording"));
    return std::make_unique<CudaGraph>(graph, nodes, stream_);
  }

  absl::Status Synchronize() override {
    // A refused launch is reported only here.
    const cudaError_t launch = cudaGetLastError();
    const cudaError_t run = cudaStreamSynchronize(stream_);
    DR_RETURN_IF_ERROR(Check(launch, "a kernel's launch"));
    return Check(run, "a kernel or a copy");
  }

 private:
  static absl::Status Refused(const std::string& purpose, int64_t bytes, cudaError_t error,
                              const std::string& more) {
    cudaGetLastError();  // clears the error: it is reported here and is not a failure of queued work
    return absl::ResourceExhaustedError(absl::StrCat(purpose, ": the driver refused ", bytes, " bytes (",
                                                     cudaGetErrorString(error), "); ", more));
  }

  absl::Status Copy(void* to, const void* from, int64_t bytes, cudaMemcpyKind kind, std::string_view what) {
    if (bytes == 0) return absl::OkStatus();
    return Check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kind, stream_), what);
  }

  const int index_;
  const kernels::CardProperties card_;
  const kernels::KernelSet kernels_;
  const cudaStream_t stream_;
  const std::unique_ptr<kernels::ThreadPool> pool_;
  const kernels::Execution execution_;
};

absl::StatusOr<PeerTicket> CudaDevice::TicketOf(const Memory& memory) {
  CardTicket card = {.host = HostIdentity()};
  const std::string bus = BusAddressOf(index_);
  std::memcpy(card.bus, bus.c_str(), std::min(bus.size(), sizeof(card.bus) - 1));
  DR_RETURN_IF_ERROR(
      Check(cudaIpcGetMemHandle(&card.memory, memory.data()), "letting peers into its memory"));
  PeerTicket ticket;
  std::memcpy(ticket.bytes.data(), &card, sizeof(card));
  return ticket;
}

absl::StatusOr<Memory> CudaDevice::OpenPeerMemory(const PeerTicket& ticket) {
  CardTicket card;
  std::memcpy(&card, ticket.bytes.data(), sizeof(card));
  if (card.host != HostIdentity()) return absl::FailedPreconditionError("the card is on another machine");
  const auto refused = [&](std::string_view why) {
    cudaGetLastError();  // clears the error: it is reported here and is not a failure of queued work
    return absl::FailedPreconditionError(absl::StrCat("card ", card.bus, ": ", std::string(why)));
  };
  int peer = -1;
  if (cudaDeviceGetByPCIBusId(&peer, card.bus) != cudaSuccess) return refused("is not visible to this rank");
  // Only links with atomics are fast enough to wait on: NVLink, not PCIe.
  int atomics = 0;
  if (peer == index_ ||
      cudaDeviceGetP2PAttribute(&atomics, cudaDevP2PAttrNativeAtomicSupported, index_, peer) != cudaSuccess ||
      atomics == 0) {
    return refused("no NVLink connects it to this card");
  }
  void* data = nullptr;
  if (const cudaError_t error = cudaIpcOpenMemHandle(&data, card.memory, cudaIpcMemLazyEnablePeerAccess);
      error != cudaSuccess) {
    return refused(cudaGetErrorString(error));
  }
  return Memory(static_cast<std::byte*>(data), 0, [](std::byte* p, int64_t) { cudaIpcCloseMemHandle(p); });
}

}  // namespace

absl::StatusOr<int> CountCards() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return count;
  cudaGetLastError();
  return absl::FailedPreconditionError(absl::StrCat(
      "no CUDA card can be used here: ", error == cudaSuccess ? "there is none" : cudaGetErrorString(error),
      ". Install the NVIDIA driver, or use --backend cpu, which runs every model"));
}

absl::StatusOr<kernels::CardProperties> PropertiesOfCard(int index) {
  DR_ASSIGN_OR_RETURN(const int count, CountCards());
  if (index < 0 || index >= count) {
    return absl::FailedPreconditionError(
        absl::StrCat("card ", index, " does not exist: this machine has ", count, " cards, numbered from 0"));
  }
  cudaDeviceProp properties;
  DR_RETURN_IF_ERROR(Check(cudaGetDeviceProperties(&properties, index), "asking for its properties"));
  kernels::CardProperties card = {.name = properties.name,
                                  .major = properties.major,
                                  .minor = properties.minor,
                                  .multiprocessors = properties.multiProcessorCount};
  if (const std::string why = kernels::WhyNotServed(card); !why.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(why, ". Use --backend cpu, which runs every model"));
  }
  return card;
}

absl::StatusOr<std::string> NameOfCard(int index) {
  DR_RETURN_IF_ERROR(PropertiesOfCard(index).status());
  return absl::StrCat(absl::Hex(HostIdentity()), "/", BusAddressOf(index));
}

absl::StatusOr<std::unique_ptr<Device>> OpenCudaDevice(int index, int threads,
                                                       const kernels::KernelChoice& choice) {
  DR_ASSIGN_OR_RETURN(kernels::CardProperties card, PropertiesOfCard(index));
  DR_RETURN_IF_ERROR(Check(cudaSetDevice(index), "being opened"));
  cudaStream_t stream = nullptr;
  DR_RETURN_IF_ERROR(Check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream"));
  return std::make_unique<CudaDevice>(index, std::move(card), choice, stream, threads);
}

}  // namespace deeprack::worker
