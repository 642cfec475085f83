// A step's small values that are copied between host and device: device memory, its image in host memory, and
// one copy for all values.
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

// The same values in host memory and in the device's memory. Both pointers are equal if the device shares the
// host's memory.
template <class T>
struct Staged {
  T* host = nullptr;
  T* device = nullptr;
};

class StagedArea {
 public:
  // Uses `bytes` bytes of the device's memory at `memory`, which must outlive the area. Allocates the host's
  // image.
  static absl::StatusOr<StagedArea> Create(Device& device, const std::string& purpose, std::byte* memory,
                                           int64_t bytes);

  StagedArea(StagedArea&&) noexcept = default;
  StagedArea& operator=(StagedArea&&) noexcept = default;

  // Takes room for `count` values (sizing::StagedBytes bytes). After Clear, the same sequence of calls gives
  // the same places. Taking more than room() is a bug.
  template <class T>
  Staged<T> Take(int64_t count) {
    const int64_t begin = used_;
    used_ += sizing::StagedBytes<T>(count);
    DR_CHECK(count >= 0 && used_ <= bytes_);
    return {reinterpret_cast<T*>(host_ + begin), reinterpret_cast<T*>(memory_ + begin)};
  }
  int64_t room() const { return bytes_ - used_; }  // bytes
  void Clear() { used_ = 0; }

  // Send queues the copy of all taken values to the device, Fetch the copy to the host.
  absl::Status Send() { return host_ == memory_ ? absl::OkStatus() : device_->CopyIn(memory_, host_, used_); }
  absl::Status Fetch() {
    return host_ == memory_ ? absl::OkStatus() : device_->CopyOut(host_, memory_, used_);
  }

 private:
  StagedArea(Device& device, Memory image, std::byte* memory, int64_t bytes);

  Device* device_;
  Memory image_;  // empty if the device shares the host's memory
  std::byte* host_;
  std::byte* memory_;
  int64_t bytes_;
  int64_t used_ = 0;
};

}  // namespace deeprack::worker
