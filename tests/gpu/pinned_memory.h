// Memory that the host and a GPU access at one address, for a whole test program: the memory of `new` and the
// stack of one thread. So tests written for the host can pass any pointer to a kernel.
#pragma once

#include <cstdint>
#include <functional>

namespace deeprack {

// After this call `new` takes memory from `bytes` bytes of pinned memory. Ends the program with a message if
// there is no GPU or not that much memory.
void UsePinnedMemory(int64_t bytes);

// Runs `body` on a thread whose stack is pinned memory. Returns when the thread has ended.
void RunOnPinnedStack(const std::function<void()>& body);

}  // namespace deeprack
