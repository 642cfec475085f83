// Runs a health check several times a second, on a thread of its own, until it is destroyed.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace deeprack::coordinator {

class HealthTimer {
 public:
  explicit HealthTimer(std::function<void()> check);
  ~HealthTimer();

 private:
  void Run();

  const std::function<void()> check_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace deeprack::coordinator
