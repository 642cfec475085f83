// Runs calls that wait for other machines at the same time.
#pragma once

#include <functional>
#include <system_error>
#include <thread>
#include <vector>

namespace deeprack::cli {

// Calls `task` with 0 .. count-1, each on a thread of its own, and waits for all. A call for which the system
// gives no thread runs on the calling thread.
inline void AtOnce(int count, const std::function<void(int)>& task) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    try {
      threads.emplace_back(task, i);
    } catch (const std::system_error&) {
      task(i);
    }
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace deeprack::cli
