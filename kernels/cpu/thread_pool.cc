#include "kernels/api/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#include "base/check.h"
#include "base/control_group.h"

namespace deeprack::kernels {
namespace {

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

void BindThisThread(int processor) {
  cpu_set_t* set = CPU_ALLOC(processor + 1);
  const size_t size = CPU_ALLOC_SIZE(processor + 1);
  CPU_ZERO_S(size, set);
  CPU_SET_S(processor, size, set);
  // Best effort: a processor that is gone or forbidden leaves the thread where it may run.
  pthread_setaffinity_np(pthread_self(), size, set);
  CPU_FREE(set);
}

// The tasks of a job are cut into one range for each thread. A thread takes the tasks of its own range first,
// then tasks that are left in other ranges. So threads do not contend for a word while all are busy, and a
// thread gets the same tasks in every step.
//
// The caller opens a job, works on the job too, closes the job, and waits only for the workers that are
// inside. A worker that wakes late finds the job closed and delays no thread. Entering uses two sequentially
// consistent words: a worker first writes that it is inside, then reads whether the job is still open; the
// caller first closes the job, then reads which workers are inside.
class Pool final : public ThreadPool {
 public:
  explicit Pool(const ThreadPoolOptions& options) : spin_(options.spin), slots_(options.threads) {
    workers_.reserve(options.threads - 1);
    try {
      for (int i = 1; i < options.threads; ++i) {
        const int processor = options.processors.empty() ? -1 : options.processors[i];
        workers_.emplace_back([this, i, processor] {
          if (processor >= 0) BindThisThread(processor);
          Work(i);
        });
      }
    } catch (const std::system_error&) {  // the system refuses a thread
      Stop();
      throw;
    }
  }

  ~Pool() override { Stop(); }

  int threads() const override { return static_cast<int>(slots_.size()); }

  void ParallelFor(int64_t tasks, const std::function<void(int64_t)>& body) override {
    if (workers_.empty() || tasks <= 1) {
      for (int64_t i = 0; i < tasks; ++i) body(i);
      return;
    }
    DR_CHECK(open_job_.load(std::memory_order_relaxed) == 0);  // one caller at a time
    DR_CHECK(tasks / threads() < static_cast<int64_t>(kTakenMask));
    body_ = &body;
    tasks_ = tasks;
    const uint64_t job = ++last_job_;
    open_job_.store(job);        // sequentially consistent with sleepers_: either the worker
    if (sleepers_.load() > 0) {  // sees the job before it sleeps, or we see the sleeper
      { std::lock_guard lock(mutex_); }
      wake_.notify_all();
    }
    RunTasks(0, job);
    open_job_.store(0);
    for (const Slot& slot : slots_) {
      for (int spins = 0; slot.inside.load() == job; ++spins) {
        if (spins < 2000) {
          Pause();
        } else {
          std::this_thread::yield();
        }
      }
    }
  }

 private:
  // Ends the workers.
  void Stop() {
    {
      std::lock_guard lock(mutex_);
      stop_.store(true);
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  // One thread's words, each on lines of its own.
  struct Slot {
    alignas(128) std::atomic<uint64_t> inside{0};  // the job that the thread is in
    alignas(128) std::atomic<uint64_t> taken{0};   // a job, and how many tasks of its range are taken
  };
  static constexpr int kTakenBits = 24;
  static constexpr uint64_t kTakenMask = (uint64_t{1} << kTakenBits) - 1;

  // The next of a range's `count` tasks; -1 when there is none.
  static int64_t Take(Slot& slot, uint64_t job, int64_t count) {
    uint64_t word = slot.taken.load(std::memory_order_relaxed);
    while (true) {
      const int64_t taken = word >> kTakenBits == job ? static_cast<int64_t>(word & kTakenMask) : 0;
      if (taken >= count) return -1;
      const uint64_t next = job << kTakenBits | static_cast<uint64_t>(taken + 1);
      if (slot.taken.compare_exchange_weak(word, next, std::memory_order_relaxed)) return taken;
    }
  }

  void RunTasks(int self, uint64_t job) {
    const int64_t tasks = tasks_, ranges = threads();
    for (int64_t offset = 0; offset < ranges; ++offset) {
      const int64_t range = (self + offset) % ranges;
      const int64_t begin = tasks * range / ranges, end = tasks * (range + 1) / ranges;
      for (int64_t i = Take(slots_[range], job, end - begin); i >= 0;
           i = Take(slots_[range], job, end - begin)) {
        (*body_)(begin + i);
      }
    }
  }

  void Work(int self) {
    std::atomic<uint64_t>& inside = slots_[self].inside;
    uint64_t seen = 0;
    while (true) {
      uint64_t job = SpinForJob(seen);
      if (job == 0) job = SleepForJob(seen);
      if (stop_.load()) return;
      inside.store(job);
      if (open_job_.load() == job) RunTasks(self, job);
      inside.store(0);
      seen = job;
    }
  }

  // The open job if it is not `seen`, else 0.
  uint64_t NewJob(uint64_t seen) const {
    const uint64_t job = open_job_.load();
    return job == seen ? 0 : job;
  }

  uint64_t SpinForJob(uint64_t seen) const {
    const auto deadline = std::chrono::steady_clock::now() + spin_;
    do {
      for (int i = 0; i < 32; ++i) {
        if (const uint64_t job = NewJob(seen); job != 0) return job;
        Pause();
      }
    } while (!stop_.load(std::memory_order_relaxed) && std::chrono::steady_clock::now() < deadline);
    return 0;
  }

  uint64_t SleepForJob(uint64_t seen) {
    std::unique_lock lock(mutex_);
    sleepers_.fetch_add(1);
    uint64_t job = 0;
    wake_.wait(lock, [&] {
      job = NewJob(seen);
      return stop_.load() || job != 0;
    });
    sleepers_.fetch_sub(1);
    return job;
  }

  const std::chrono::microseconds spin_;
  alignas(128) std::atomic<uint64_t> open_job_{0};  // 0: none
  alignas(128) std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};
  uint64_t last_job_ = 0;
  const std::function<void(int64_t)>* body_ = nullptr;  // written while no worker is inside
  int64_t tasks_ = 0;
  std::vector<Slot> slots_;  // the caller's first
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
};

}  // namespace

std::unique_ptr<ThreadPool> MakeThreadPool(const ThreadPoolOptions& options) {
  DR_CHECK(options.threads >= 1 && options.threads < 4096);
  DR_CHECK(options.processors.empty() || std::ssize(options.processors) == options.threads);
  return std::make_unique<Pool>(options);
}

std::vector<int> AllowedProcessors() { return deeprack::AllowedProcessors(); }

}  // namespace deeprack::kernels
