#include "coordinator/api/work_pool.h"

#include <utility>

namespace deeprack::coordinator {

WorkPool::WorkPool(int threads, size_t max_bytes) : max_bytes_(max_bytes) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

bool WorkPool::Submit(size_t bytes, std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  if (stopped_ || bytes > max_bytes_ - bytes_) return false;
  bytes_ += bytes;
  waiting_.push_back({bytes, std::move(work)});
  wake_.notify_one();
  return true;
}

void WorkPool::Stop() {
  std::deque<Task> dropped;  // cleared without the lock: destroying a task may call back into the server
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    dropped.swap(waiting_);
  }
  dropped.clear();
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void WorkPool::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopped_ || !waiting_.empty(); });
    if (stopped_) return;
    Task task = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    task.work();
    task.work = nullptr;  // destroys the task's function and the values that the function owns
    lock.lock();
    bytes_ -= task.bytes;
  }
}

}  // namespace deeprack::coordinator
