// A stream of the emulated device: work is queued in order and runs when somebody waits for it, so that a
// host which reads results, or reuses what it sent, too early is found out.
#pragma once

#include <functional>
#include <vector>

#include "kernels/cuda/emulator/block.h"

namespace deeprack::kernels::host {

class Stream {
 public:
  using Work = std::function<void()>;

  void Enqueue(Work work) { (recording_ != nullptr ? *recording_ : queue_).push_back(std::move(work)); }

  // Runs all that is queued, in order.
  void Run() {
    std::vector<Work> queue;
    queue.swap(queue_);
    for (const Work& work : queue) work();
  }

  // Until the next call with null, work is recorded there instead of being queued.
  void RecordTo(std::vector<Work>* recording) { recording_ = recording; }

 private:
  std::vector<Work> queue_;
  std::vector<Work>* recording_ = nullptr;
};

// As a kernel launch: queued on `stream`, a Stream, or run at once without one.
template <class Body>
void Launch(void* stream, Dim grid, Dim block, Body body) {
  if (stream == nullptr) return RunGrid(grid, block, body);
  static_cast<Stream*>(stream)->Enqueue([grid, block, body] { RunGrid(grid, block, body); });
}

}  // namespace deeprack::kernels::host
