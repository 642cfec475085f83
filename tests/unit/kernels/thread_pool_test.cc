#include "kernels/api/thread_pool.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace deeprack::kernels {
namespace {

TEST(ThreadPool, RunsEveryTaskOnce) {
  for (int threads : {1, 2, 5}) {
    const std::unique_ptr<ThreadPool> pool = MakeThreadPool(threads);
    EXPECT_EQ(pool->threads(), threads);
    for (int64_t tasks : {0, 1, 2, 3, 7, 64, 1000}) {
      std::vector<int> runs(tasks,
                            0);  // not atomic: ParallelFor's return orders the writes before these reads
      pool->ParallelFor(tasks, [&](int64_t i) { ++runs[i]; });
      EXPECT_EQ(runs, std::vector<int>(tasks, 1));
    }
  }
}

TEST(ThreadPool, SurvivesManyShortJobsAndSleeps) {
  const std::unique_ptr<ThreadPool> pool = MakeThreadPool(4);
  int64_t sum = 0;
  for (int job = 0; job < 3000; ++job) {
    std::atomic<int64_t> part{0};
    pool->ParallelFor(job % 9, [&](int64_t i) { part.fetch_add(i + 1, std::memory_order_relaxed); });
    sum += part.load();
    if (job % 500 == 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));  // past the spinning: they sleep
  }
  int64_t expected = 0;
  for (int64_t job = 0; job < 3000; ++job) expected += (job % 9) * (job % 9 + 1) / 2;
  EXPECT_EQ(sum, expected);
}

TEST(ThreadPool, SpreadsBlockedTasksOverThreads) {
  const std::unique_ptr<ThreadPool> pool = MakeThreadPool(3);
  std::atomic<int> arrived{0};
  std::mutex mutex;
  std::set<std::thread::id> ids;
  pool->ParallelFor(3, [&](int64_t) {  // each task waits for all three: only three threads can finish this
    arrived.fetch_add(1);
    while (arrived.load() < 3) std::this_thread::yield();
    std::lock_guard lock(mutex);
    ids.insert(std::this_thread::get_id());
  });
  EXPECT_EQ(ids.size(), 3u);
}

TEST(ThreadPool, TasksOfUnlikeLengthAreTakenByWhoeverIsFree) {
  const std::unique_ptr<ThreadPool> pool = MakeThreadPool(2);
  std::mutex mutex;
  std::set<std::thread::id> ids;
  std::atomic<bool> rest_done{false};
  std::atomic<int> left{31};
  pool->ParallelFor(32, [&](int64_t i) {  // one task waits for all others, those of its own range too
    if (i == 0) {
      while (!rest_done.load()) std::this_thread::yield();
    } else if (left.fetch_sub(1) == 1) {
      rest_done.store(true);
    }
    std::lock_guard lock(mutex);
    ids.insert(std::this_thread::get_id());
  });
  EXPECT_EQ(ids.size(), 2u);
}

TEST(ThreadPool, BindsItsThreads) {
  const std::vector<int> allowed = AllowedProcessors();
  ASSERT_FALSE(allowed.empty());
  const int last = allowed.back();
  const std::unique_ptr<ThreadPool> pool =
      MakeThreadPool({.threads = 3, .processors = {allowed[0], last, last}, .spin = {}});
  std::atomic<int> arrived{0}, wrong{0};
  pool->ParallelFor(3, [&, caller = std::this_thread::get_id()](int64_t) {
    arrived.fetch_add(1);
    while (arrived.load() < 3) std::this_thread::yield();
    if (std::this_thread::get_id() != caller && sched_getcpu() != last) wrong.fetch_add(1);
    if (std::this_thread::get_id() == caller && AllowedProcessors() != allowed) wrong.fetch_add(1);
  });
  EXPECT_EQ(wrong.load(), 0);
}

TEST(ThreadPool, OneThreadRunsInline) {
  const std::unique_ptr<ThreadPool> pool = MakeThreadPool(1);
  pool->ParallelFor(
      5, [caller = std::this_thread::get_id()](int64_t) { EXPECT_EQ(std::this_thread::get_id(), caller); });
}

}  // namespace
}  // namespace deeprack::kernels
