#include "coordinator/api/http_loop.h"

#include <utility>

#include <boost/asio/post.hpp>

#include "coordinator/api/http_exchange.h"

namespace deeprack::coordinator {

void HttpLoop::Queue(Work work) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(work));
    if (std::exchange(woken_, true)) return;
  }
  boost::asio::post(io_, [this] { RunWork(); });
}

void HttpLoop::RunWork() {
  if (next_ == work_.size()) {
    work_.clear();
    next_ = 0;
    const std::lock_guard lock(mutex_);
    work_.swap(posted_);
  }
  const bool flushes_already = std::exchange(flushes_, true);
  for (size_t run = 0; run < kBatch && next_ < work_.size(); ++run) {
    const Work work = std::move(work_[next_++]);
    if (work.woken) {
      work.woken->RunReader();
    } else {
      work.call();
    }
  }
  flushes_ = flushes_already;
  Flush();
  if (next_ == work_.size()) {
    const std::lock_guard lock(mutex_);
    woken_ = !posted_.empty();
    if (!woken_) return;
  }
  boost::asio::post(io_, [this] { RunWork(); });
}

void HttpLoop::FlushLater(std::shared_ptr<ConnectionExchange> exchange) {
  unsent_.push_back(std::move(exchange));
  if (std::exchange(flushes_, true)) return;
  boost::asio::post(io_, [this] {
    flushes_ = false;
    Flush();
  });
}

void HttpLoop::Flush() {
  flushed_.swap(unsent_);
  for (const std::shared_ptr<ConnectionExchange>& exchange : flushed_) exchange->Flush();
  flushed_.clear();
}

}  // namespace deeprack::coordinator
