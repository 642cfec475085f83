// A step's small values on their way between host and device: one run of device memory, its image in host
// memory, and one copy between them for all that was taken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/check.h"
#include "sizing/alignment.h"
#include "worker/device/device.h"

namespace deeprack::worker {

// The same values as the host and as the device's kernels see them; one pointer where they share memory.
template <class T>
struct Staged {
  T* host = nullptr;
  T* device = nullptr;
};

class StagedArea {
 public:
  // Over `bytes` of the device's memory at `memory`, which outlives it; takes the host's image of it.
  static absl::StatusOr<StagedArea> Create(Device& device, const std::string& purpose, std::byte* memory,
                                           int64_t bytes);

  StagedArea(StagedArea&&) noexcept = default;
  StagedArea& operator=(StagedArea&&) noexcept = default;

  // The next `count` values, sizing::StagedBytes of them. The same sequence of calls after Clear gives the
  // same places. It is a bug to ask for more than room().
  template <class T>
  Staged<T> Take(int64_t count) {
    const int64_t begin = used_;
    used_ += sizing::StagedBytes<T>(count);
    DR_CHECK(count >= 0 && used_ <= bytes_);
    return {reinterpret_cast<T*>(host_ + begin), reinterpret_cast<T*>(memory_ + begin)};
  }
  int64_t room() const { return bytes_ - used_; }
  void Clear() { used_ = 0; }

  // Queues the copy of all that was taken to the device, or to the host.
  absl::Status Send() { return host_ == memory_ ? absl::OkStatus() : device_->CopyIn(memory_, host_, used_); }
  absl::Status Fetch() {
    return host_ == memory_ ? absl::OkStatus() : device_->CopyOut(host_, memory_, used_);
  }

 private:
  StagedArea(Device& device, Memory image, std::byte* memory, int64_t bytes);

  Device* device_;
  Memory image_;  // empty where the device shares the host's memory
  std::byte* host_;
  std::byte* memory_;
  int64_t bytes_;
  int64_t used_ = 0;
};

}  // namespace deeprack::worker
