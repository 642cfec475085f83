// Memory that the host and a GPU see at one address, for a whole test program: what `new` gives, and one
// thread's stack. So tests written for the host can hand any pointer of theirs to a kernel.
#pragma once

#include <cstdint>
#include <functional>

namespace deeprack {

// From now on `new` takes its memory from `bytes` of pinned memory. Ends the program with a message when
// there is no GPU or not so much memory.
void UsePinnedMemory(int64_t bytes);

// Runs `body` on a thread whose stack is pinned memory; returns when it has ended.
void RunOnPinnedStack(const std::function<void()>& body);

}  // namespace deeprack
