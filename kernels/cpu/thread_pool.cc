#include "kernels/api/thread_pool.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "base/check.h"

namespace deeprack::kernels {
namespace {

constexpr std::chrono::microseconds kSpin{20};

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// One word holds the job's life: its number, whether it may still be entered, and how many workers are
// inside. The caller opens a job, works on it too, closes it, and waits for those inside only: a worker that
// wakes late finds the job closed and costs nobody anything.
class Pool final : public ThreadPool {
 public:
  explicit Pool(int threads) {
    workers_.reserve(threads - 1);
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { Work(); });
  }

  ~Pool() override {
    {
      std::lock_guard lock(mutex_);
      stop_.store(true);
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  int threads() const override { return static_cast<int>(workers_.size()) + 1; }

  void ParallelFor(int64_t tasks, const std::function<void(int64_t)>& body) override {
    if (workers_.empty() || tasks <= 1) {
      for (int64_t i = 0; i < tasks; ++i) body(i);
      return;
    }
    DR_CHECK((state_.load(std::memory_order_relaxed) & (kOpen | kInside)) == 0);  // one caller at a time
    body_ = &body;
    tasks_ = tasks;
    next_.store(0, std::memory_order_relaxed);
    const uint64_t job = (state_.load(std::memory_order_relaxed) & ~(kOpen | kInside)) + kJob;
    state_.store(job | kOpen);   // sequentially consistent with sleepers_: either the worker
    if (sleepers_.load() > 0) {  // sees the job before it sleeps, or we see the sleeper
      { std::lock_guard lock(mutex_); }
      wake_.notify_all();
    }
    RunTasks();
    state_.fetch_and(~kOpen, std::memory_order_acq_rel);
    for (int spins = 0; (state_.load(std::memory_order_acquire) & kInside) != 0; ++spins) {
      if (spins < 2000) {
        Pause();
      } else {
        std::this_thread::yield();
      }
    }
  }

 private:
  static constexpr uint64_t kInside = 0xffff;  // workers inside the job
  static constexpr uint64_t kOpen = 0x10000;   // the job may be entered
  static constexpr uint64_t kJob = 0x20000;    // counts jobs

  void RunTasks() {
    const int64_t tasks = tasks_;
    for (int64_t i = next_.fetch_add(1, std::memory_order_relaxed); i < tasks;
         i = next_.fetch_add(1, std::memory_order_relaxed)) {
      (*body_)(i);
    }
  }

  bool HasNewJob(uint64_t last_job) const {
    const uint64_t state = state_.load();
    return (state & kOpen) != 0 && state / kJob != last_job;
  }

  void Work() {
    uint64_t last_job = 0;
    while (true) {
      if (!SpinForJob(last_job)) SleepForJob(last_job);
      if (stop_.load()) return;
      uint64_t state = state_.load(std::memory_order_relaxed);
      while ((state & kOpen) != 0 && state / kJob != last_job) {
        if (state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel)) {
          RunTasks();
          last_job = state / kJob;
          state_.fetch_sub(1, std::memory_order_acq_rel);
          break;
        }
      }
    }
  }

  bool SpinForJob(uint64_t last_job) const {
    const auto deadline = std::chrono::steady_clock::now() + kSpin;
    do {
      for (int i = 0; i < 32; ++i) {
        if (HasNewJob(last_job)) return true;
        Pause();
      }
    } while (std::chrono::steady_clock::now() < deadline);
    return false;
  }

  void SleepForJob(uint64_t last_job) {
    std::unique_lock lock(mutex_);
    sleepers_.fetch_add(1);
    wake_.wait(lock, [&] { return stop_.load() || HasNewJob(last_job); });
    sleepers_.fetch_sub(1);
  }

  std::atomic<uint64_t> state_{0};
  std::atomic<int64_t> next_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};
  const std::function<void(int64_t)>* body_ = nullptr;  // written while no worker is inside
  int64_t tasks_ = 0;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
};

}  // namespace

std::unique_ptr<ThreadPool> MakeThreadPool(int threads) {
  DR_CHECK(threads >= 1 && threads < 4096);
  return std::make_unique<Pool>(threads);
}

}  // namespace deeprack::kernels
