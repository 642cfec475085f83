#include "kernels/cpu/parallel.h"

#include <cstdlib>
#include <memory>

#include "base/check.h"
#include "base/checked.h"

namespace deeprack::kernels {
namespace {

struct Buffer {
  void* data = nullptr;
  int64_t bytes = 0;

  ~Buffer() { std::free(data); }
};

}  // namespace

void RunParallel(const Execution& execution, int64_t tasks, void (*body)(void* context, int64_t i),
                 void* context) {
  if (execution.pool == nullptr || tasks <= 1) {
    for (int64_t i = 0; i < tasks; ++i) body(context, i);
    return;
  }
  execution.pool->ParallelFor(tasks, [body, context](int64_t i) { body(context, i); });
}

int ThreadCount(const Execution& execution) {
  return execution.pool == nullptr ? 1 : execution.pool->threads();
}

void* Scratch(ScratchSlot slot, int64_t bytes) {
  thread_local Buffer buffers[kScratchSlots];
  Buffer& buffer = buffers[slot];
  if (buffer.bytes < bytes || buffer.data == nullptr) {
    std::free(buffer.data);
    buffer.bytes = RoundUp(bytes + bytes / 2 + 1, 4096);
    buffer.data = std::aligned_alloc(64, static_cast<size_t>(buffer.bytes));
    DR_CHECK(buffer.data != nullptr);
  }
  return buffer.data;
}

}  // namespace deeprack::kernels
