// Memory of a device, with its owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

namespace deeprack::worker {

// Owns consecutive bytes; the destructor gives them back. Movable; a default-made or moved-from Memory is
// empty. The device must outlive it.
class Memory {
 public:
  using Release = std::function<void(std::byte* data, int64_t bytes)>;

  Memory() = default;
  Memory(std::byte* data, int64_t bytes, Release release)
      : data_(data), bytes_(bytes), release_(std::move(release)) {}
  Memory(Memory&& other) noexcept { *this = std::move(other); }
  Memory& operator=(Memory&& other) noexcept {
    if (this == &other) return *this;
    GiveBack();
    data_ = std::exchange(other.data_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
    release_ = std::exchange(other.release_, nullptr);
    return *this;
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { GiveBack(); }

  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

 private:
  void GiveBack() {
    if (data_ != nullptr && release_) release_(data_, bytes_);
    data_ = nullptr;
  }

  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
  Release release_;
};

}  // namespace deeprack::worker
