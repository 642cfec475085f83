// A stream of the emulated card. Work is queued in order and runs only when the host waits for it. So a test
// fails if the host reads a result, or overwrites an input, before it has waited.
#pragma once

#include <functional>
#include <vector>

#include "kernels/cuda/emulator/block.h"

namespace deeprack::kernels::host {

class Stream {
 public:
  using Work = std::function<void()>;

  void Enqueue(Work work) { (recording_ != nullptr ? *recording_ : queue_).push_back(std::move(work)); }

  // Runs all queued work in order.
  void Run() {
    std::vector<Work> queue;
    queue.swap(queue_);
    for (const Work& work : queue) work();
  }

  // Appends work to `recording` instead of the queue, until a call with null.
  void RecordTo(std::vector<Work>* recording) { recording_ = recording; }

 private:
  std::vector<Work> queue_;
  std::vector<Work>* recording_ = nullptr;
};

// A kernel launch: queued on `stream`, which points to a Stream, or run at once if `stream` is null.
template <class Body>
void Launch(void* stream, Dim grid, Dim block, Body body) {
  if (stream == nullptr) return RunGrid(grid, block, body);
  static_cast<Stream*>(stream)->Enqueue([grid, block, body] { RunGrid(grid, block, body); });
}

}  // namespace deeprack::kernels::host
