#include "coordinator/membership/health_timer.h"

#include <chrono>
#include <utility>

namespace deeprack::coordinator {
namespace {

constexpr auto kCheckEvery = std::chrono::milliseconds(100);

}  // namespace

HealthTimer::HealthTimer(std::function<void()> check)
    : check_(std::move(check)), thread_([this] { Run(); }) {}

HealthTimer::~HealthTimer() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
    ended_.notify_one();
  }
  thread_.join();
}

void HealthTimer::Run() {
  std::unique_lock lock(mutex_);
  while (!ended_.wait_for(lock, kCheckEvery, [this] { return ending_; })) {
    lock.unlock();
    check_();
    lock.lock();
  }
}

}  // namespace deeprack::coordinator
