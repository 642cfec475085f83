// One thread that serves connections. A connection belongs to one loop for its whole life, so nothing of a
// connection is locked. Only the HTTP core includes this header.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

namespace deeprack::coordinator {

class ConnectionExchange;

class HttpLoop {
 public:
  HttpLoop() = default;
  HttpLoop(const HttpLoop&) = delete;

  boost::asio::io_context& io() { return io_; }

  // Runs until io() is stopped.
  void Run() { io_.run(); }

  // Runs `work` on the loop's thread, in the order of the calls. Thread-safe, does not block. The thread is
  // woken once for all the work that waits.
  void Post(std::function<void()> work) { Queue({.call = std::move(work), .woken = nullptr}); }

  // As Post of exchange->RunReader(), without a function of its own.
  void Wake(std::shared_ptr<ConnectionExchange> exchange) {
    Queue({.call = {}, .woken = std::move(exchange)});
  }

  // Calls exchange->Flush() on this thread, after the work under way: what one batch of work sends to a
  // connection is one write. Only on the loop's thread.
  void FlushLater(std::shared_ptr<ConnectionExchange> exchange);

  // The bytes of a write, while the write is made. Only on the loop's thread.
  std::string& scratch() { return scratch_; }

  std::atomic<int> connections{0};

 private:
  struct Work {
    std::function<void()> call;
    std::shared_ptr<ConnectionExchange> woken;  // in place of `call`
  };

  void Queue(Work work);
  void RunWork();
  void Flush();

  // Other handlers, such as reads, get a turn after this much posted work.
  static constexpr size_t kBatch = 256;

  boost::asio::io_context io_{1};
  const boost::asio::executor_work_guard<boost::asio::io_context::executor_type> runs_{io_.get_executor()};
  std::mutex mutex_;
  std::vector<Work> posted_;  // by mutex_
  bool woken_ = false;        // by mutex_: RunWork will run

  // Only the loop's thread uses the members from here on.
  std::vector<Work> work_;  // taken from posted_; entries before next_ have run
  size_t next_ = 0;
  std::vector<std::shared_ptr<ConnectionExchange>> unsent_, flushed_;
  bool flushes_ = false;  // Flush will run
  std::string scratch_;
};

}  // namespace deeprack::coordinator
