#include "kernels/cuda/emulator/block.h"

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "base/check.h"

namespace deeprack::kernels::host {
namespace {

constexpr size_t kStackBytes = 64 << 10;
constexpr unsigned kWarp = 32;

enum class Wait : uint8_t { kNone, kBlock, kWarp, kCondition, kDone };

// A fiber is made once and runs one thread of one block after another. swapcontext enters a fiber the first
// time, because it sets up the fiber's stack. After that, _setjmp and _longjmp switch fibers, because they
// make no system calls.
struct Fiber {
  jmp_buf place;
  bool entered = false;
  std::unique_ptr<char[]> stack = std::make_unique<char[]>(kStackBytes);
  Wait wait = Wait::kNone;
  uint64_t slot = 0;  // the bytes that the thread publishes to its warp
  // The condition that the thread waits for in state kCondition.
  const std::function<bool()>* ready = nullptr;
};

struct Block {
  std::vector<std::unique_ptr<Fiber>> fibers;
  jmp_buf scheduler;
  Position position;
  unsigned current = 0;
  unsigned threads = 0;
  bool reversed = false;
  const std::function<void()>* body = nullptr;
  std::function<bool()> beside;
  std::function<void()> begin, end;
};

thread_local Block block;

void Pause(Wait why) {
  Fiber& fiber = *block.fibers[block.current];
  fiber.wait = why;
  if (_setjmp(fiber.place) == 0) _longjmp(block.scheduler, 1);
}

void FiberMain() {
  for (;;) {
    (*block.body)();
    Pause(Wait::kDone);
  }
}

void Enter(Fiber& fiber) {
  fiber.entered = true;
  ucontext_t start, never;
  DR_CHECK(getcontext(&start) == 0);
  start.uc_stack.ss_sp = fiber.stack.get();
  start.uc_stack.ss_size = kStackBytes;
  start.uc_link = nullptr;
  makecontext(&start, FiberMain, 0);
  swapcontext(&never, &start);
}

void Resume(unsigned thread) {
  block.current = thread;
  block.position.thread = {thread % block.position.block_dim.x, thread / block.position.block_dim.x, 0};
  Fiber& fiber = *block.fibers[thread];
  fiber.wait = Wait::kNone;
  if (_setjmp(block.scheduler) != 0) return;
  if (fiber.entered) _longjmp(fiber.place, 1);
  Enter(fiber);
}

bool AllAt(unsigned begin, unsigned end, Wait wait) {
  bool any = false;
  for (unsigned t = begin; t < end; ++t) {
    const Wait at = block.fibers[t]->wait;
    if (at != wait && at != Wait::kDone) return false;
    any |= at == wait;
  }
  return any;
}

// Lets threads [begin, end) that wait at a barrier of this kind go on.
void Release(unsigned begin, unsigned end, Wait wait) {
  for (unsigned t = begin; t < end; ++t) {
    if (block.fibers[t]->wait == wait) block.fibers[t]->wait = Wait::kNone;
  }
}

void RunBlock() {
  for (unsigned t = 0; t < block.threads; ++t) block.fibers[t]->wait = Wait::kNone;
  for (;;) {
    bool ran = false;
    for (unsigned i = 0; i < block.threads; ++i) {
      const unsigned t = block.reversed ? block.threads - 1 - i : i;
      const Fiber& fiber = *block.fibers[t];
      if (fiber.wait != Wait::kNone && !(fiber.wait == Wait::kCondition && (*fiber.ready)())) continue;
      Resume(t);
      ran = true;
    }
    if (ran) continue;
    bool released = false;
    for (unsigned begin = 0; begin < block.threads; begin += kWarp) {
      const unsigned end = std::min(begin + kWarp, block.threads);
      if (!AllAt(begin, end, Wait::kWarp)) continue;
      Release(begin, end, Wait::kWarp);
      released = true;
    }
    if (released) continue;
    if (AllAt(0, block.threads, Wait::kBlock)) {
      Release(0, block.threads, Wait::kBlock);
      continue;
    }
    if (block.beside && block.beside()) continue;
    bool done = true;
    for (unsigned t = 0; t < block.threads; ++t) done &= block.fibers[t]->wait == Wait::kDone;
    DR_CHECK(done);  // otherwise threads wait at barriers that the others will never reach
    return;
  }
}

}  // namespace

const Position& Current() { return block.position; }
void SyncBlock() { Pause(Wait::kBlock); }
void SyncWarp() { Pause(Wait::kWarp); }

void WaitUntil(const std::function<bool()>& ready) {
  if (ready()) return;
  block.fibers[block.current]->ready = &ready;
  Pause(Wait::kCondition);
}

uint64_t Exchange(uint64_t value, int source) {
  const unsigned self = block.current;
  const unsigned from = self / kWarp * kWarp + static_cast<unsigned>(source) % kWarp;
  block.fibers[self]->slot = value;
  SyncWarp();
  const uint64_t result = from < block.threads ? block.fibers[from]->slot : value;
  SyncWarp();  // no lane publishes again before every lane has read
  return result;
}

void RunGrid(Dim grid, Dim dim, const std::function<void()>& body) {
  block.threads = dim.x * dim.y * dim.z;
  DR_CHECK(block.threads > 0 && block.threads <= 1024 && dim.z == 1 && grid.z == 1);
  while (block.fibers.size() < block.threads) block.fibers.push_back(std::make_unique<Fiber>());
  block.body = &body;
  block.position.block_dim = dim;
  block.position.grid_dim = grid;
  for (unsigned y = 0; y < grid.y; ++y) {
    for (unsigned x = 0; x < grid.x; ++x) {
      block.position.block = {x, y, 0};
      if (block.begin) block.begin();
      RunBlock();
      if (block.end) block.end();
    }
  }
}

void SetReversed(bool reversed) { block.reversed = reversed; }
void SetWorkBesideThreads(std::function<bool()> work) { block.beside = std::move(work); }
void SetBlockHooks(std::function<void()> begin, std::function<void()> end) {
  block.begin = std::move(begin);
  block.end = std::move(end);
}

}  // namespace deeprack::kernels::host
