#include "tests/gpu/pinned_memory.h"

#include <cuda_runtime.h>
#include <pthread.h>

#include <bit>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <new>

namespace deeprack {
namespace {

constexpr size_t kSmallestBlock = 64;
constexpr size_t kStackBytes = size_t{64} << 20;

// Blocks have sizes that are powers of two and are aligned to their sizes. All come from one region; freed
// blocks are kept in a list for each size.
class PinnedArena {
 public:
  void Open(void* base, size_t bytes) {
    begin_ = next_ = reinterpret_cast<uintptr_t>(base);
    end_ = begin_ + bytes;
  }

  bool open() const { return begin_ != 0; }
  bool Owns(const void* p) const {
    const auto address = reinterpret_cast<uintptr_t>(p);
    return address >= begin_ && address < end_;
  }

  // nullptr: the region is full.
  void* Allocate(size_t bytes, size_t alignment) {
    // A header before the block has the block's size class. The header takes as many bytes as the alignment.
    const size_t header = alignment < kSmallestBlock ? kSmallestBlock : alignment;
    const size_t size = std::bit_ceil(bytes + header);
    const int list = std::countr_zero(size);
    std::lock_guard lock(mutex_);
    uintptr_t block = 0;
    if (free_[list] != nullptr) {
      block = reinterpret_cast<uintptr_t>(free_[list]);
      free_[list] = free_[list]->next;
    } else {
      const size_t boundary = size < kLargestBoundary ? size : kLargestBoundary;
      block = (next_ + boundary - 1) / boundary * boundary;
      if (block + size > end_) return nullptr;
      next_ = block + size;
    }
    const uintptr_t memory = block + header;
    *reinterpret_cast<Header*>(memory - sizeof(Header)) = {list, static_cast<uint32_t>(header)};
    return reinterpret_cast<void*>(memory);
  }

  void Free(void* p) {
    const auto memory = reinterpret_cast<uintptr_t>(p);
    const Header header = *reinterpret_cast<Header*>(memory - sizeof(Header));
    std::lock_guard lock(mutex_);
    Block* const block = reinterpret_cast<Block*>(memory - header.bytes);
    block->next = free_[header.list];
    free_[header.list] = block;
  }

 private:
  static constexpr size_t kLargestBoundary = size_t{1} << 20;
  struct Header {
    int list;
    uint32_t bytes;  // from the block's beginning to the memory that was handed out
  };
  struct Block {
    Block* next;
  };

  std::mutex mutex_;
  uintptr_t begin_ = 0, end_ = 0, next_ = 0;
  Block* free_[64] = {};
};

constinit PinnedArena arena;

void* Allocate(size_t bytes, size_t alignment) {
  void* memory = arena.open() ? arena.Allocate(bytes, alignment)
                              : std::aligned_alloc(alignment, (bytes + alignment) / alignment * alignment);
  if (memory == nullptr) {
    std::fprintf(stderr, "no room for %zu bytes in the pinned memory of this test program\n", bytes);
    std::abort();
  }
  return memory;
}

void Release(void* p) {
  if (p == nullptr) return;
  if (arena.Owns(p)) {
    arena.Free(p);
  } else {
    std::free(p);
  }
}

void* PinnedOrExit(size_t bytes) {
  void* memory = nullptr;
  const cudaError_t error = cudaHostAlloc(&memory, bytes, cudaHostAllocPortable | cudaHostAllocMapped);
  void* on_device = nullptr;
  if (error != cudaSuccess || cudaHostGetDevicePointer(&on_device, memory, 0) != cudaSuccess ||
      on_device != memory) {
    std::fprintf(stderr, "no GPU that shares %zu bytes with the host at one address: %s\n", bytes,
                 cudaGetErrorString(error));
    std::exit(69);
  }
  return memory;
}

}  // namespace

void UsePinnedMemory(int64_t bytes) {
  arena.Open(PinnedOrExit(static_cast<size_t>(bytes)), static_cast<size_t>(bytes));
}

void RunOnPinnedStack(const std::function<void()>& body) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstack(&attributes, PinnedOrExit(kStackBytes), kStackBytes);
  pthread_t thread;
  const int error = pthread_create(
      &thread, &attributes,
      [](void* body) -> void* {
        (*static_cast<const std::function<void()>*>(body))();
        return nullptr;
      },
      const_cast<std::function<void()>*>(&body));
  if (error != 0) {
    std::fprintf(stderr, "cannot start a thread on pinned memory: error %d\n", error);
    std::exit(70);
  }
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

}  // namespace deeprack

void* operator new(size_t bytes) { return deeprack::Allocate(bytes, alignof(std::max_align_t)); }
void* operator new(size_t bytes, std::align_val_t alignment) {
  return deeprack::Allocate(bytes, static_cast<size_t>(alignment));
}
void operator delete(void* p) noexcept { deeprack::Release(p); }
void operator delete(void* p, size_t) noexcept { deeprack::Release(p); }
void operator delete(void* p, std::align_val_t) noexcept { deeprack::Release(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { deeprack::Release(p); }
