// Pinned memory, which host and GPU see at one address, for a whole test program: memory from `new` and the
// stack of one thread. So tests that are written for the host can pass any pointer to a kernel.
#pragma once

#include <cstdint>
#include <functional>

namespace deeprack {

// After this call `new` takes memory from `bytes` of pinned memory. Ends the program with a message if there
// is no GPU or too little memory.
void UsePinnedMemory(int64_t bytes);

// Runs `body` on a thread whose stack is pinned memory and returns when `body` has returned.
void RunOnPinnedStack(const std::function<void()>& body);

}  // namespace deeprack
