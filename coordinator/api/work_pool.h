// Threads for work that would stop event streams if a connection's thread did it: reading large bodies. The
// queue of waiting work is bounded.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace deeprack::coordinator {

class WorkPool {
 public:
  // Starts `threads` threads. The pool holds work for at most `max_bytes` bytes of bodies, the work in
  // progress included.
  WorkPool(int threads, size_t max_bytes);
  ~WorkPool() { Stop(); }

  // Queues `work`, which is about a body of `bytes` bytes. False: the pool is full or stopped, and `work` is
  // dropped. Thread-safe; does not block.
  bool Submit(size_t bytes, std::function<void()> work);

  // Drops the work that waits, and returns when the work in progress has ended.
  void Stop();

 private:
  struct Task {
    size_t bytes = 0;
    std::function<void()> work;
  };

  void Run();

  const size_t max_bytes_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Task> waiting_;
  size_t bytes_ = 0;  // of waiting work and work in progress
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace deeprack::coordinator
