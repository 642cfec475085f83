#include "coordinator/api/work_pool.h"

#include <atomic>
#include <memory>

#include "gtest/gtest.h"
#include "tests/unit/api/latch.h"

namespace deeprack::coordinator {
namespace {

TEST(WorkPool, RunsWorkInOrder) {
  std::vector<int> order;
  Latch done;
  WorkPool pool(1, 100);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(pool.Submit(1, [&order, i] { order.push_back(i); }));
  EXPECT_TRUE(pool.Submit(1, [&] { done.Open(); }));
  done.Wait();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2}));
}

TEST(WorkPool, RefusesMoreThanItsBytes) {
  Latch release, running;
  WorkPool pool(1, 100);
  EXPECT_FALSE(pool.Submit(101, [] {}));
  EXPECT_TRUE(pool.Submit(60, [&] {
    running.Open();
    release.Wait();
  }));
  running.Wait();  // the bytes of work in progress count
  EXPECT_FALSE(pool.Submit(41, [] {}));
  Latch second;
  EXPECT_TRUE(pool.Submit(40, [&] { second.Open(); }));
  release.Open();
  second.Wait();
}

TEST(WorkPool, StopDropsWhatWaits) {
  Latch release, running;
  std::atomic<bool> ran = false;
  auto owned = std::make_shared<int>(0);
  auto pool = std::make_unique<WorkPool>(1, 100);
  pool->Submit(1, [&] {
    running.Open();
    release.Wait();
  });
  running.Wait();
  pool->Submit(1, [&ran, owned] { ran = true; });
  std::thread stopper([&] { pool->Stop(); });
  // Stop drops waiting work before the work in progress ends.
  while (owned.use_count() > 1) std::this_thread::yield();
  release.Open();
  stopper.join();
  EXPECT_FALSE(ran);
  EXPECT_FALSE(pool->Submit(1, [] {}));
}

}  // namespace
}  // namespace deeprack::coordinator
