// A gate that a test opens once.
#pragma once

#include <condition_variable>
#include <mutex>

namespace deeprack::coordinator {

class Latch {
 public:
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    opened_.notify_all();
  }

  // Blocks until Open was called.
  void Wait() {
    std::unique_lock lock(mutex_);
    opened_.wait(lock, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  bool open_ = false;
};

}  // namespace deeprack::coordinator
