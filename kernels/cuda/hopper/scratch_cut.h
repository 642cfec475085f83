// Divides Scratch::data among the buffers of one operation, or counts the bytes that the buffers need.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "base/checked.h"
#include "kernels/api/execution.h"

namespace deeprack::kernels::hopper {

class ScratchCut {
 public:
  // Counts only; all pointers are null.
  ScratchCut() = default;
  explicit ScratchCut(const Scratch& scratch) : scratch_(&scratch) {}

  // The next `count` values, 128-byte aligned. A check fails if the scratch is too small.
  template <class T>
  T* Take(int64_t count) {
    const int64_t begin = used_;
    used_ += RoundUp(count * static_cast<int64_t>(sizeof(T)), kAlignment);
    if (scratch_ == nullptr || count == 0) return nullptr;
    DR_CHECK(used_ <= scratch_->data_bytes);
    return reinterpret_cast<T*>(static_cast<std::byte*>(scratch_->data) + begin);
  }
  int64_t used() const { return used_; }

 private:
  static constexpr int64_t kAlignment = 128;

  const Scratch* scratch_ = nullptr;
  int64_t used_ = 0;
};

}  // namespace deeprack::kernels::hopper
