// Compiles constraints on threads of its own, which have a lower priority than the threads that serve, and
// keeps what was compiled, by content. Equal constraints that are asked for at the same time are compiled
// once.
//
// A compilation cannot be interrupted. One that takes longer than `time` is given up: its callers get the
// error, and another thread takes its place, up to most_given_up of these at a time. The error is kept in the
// cache.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "constraint/compile.h"
#include "model/step/constraint_spec.h"

namespace deeprack::constraint {

struct CompilerLimits {
  int32_t threads = 2;
  absl::Duration time = absl::Seconds(2);
  int32_t most_given_up = 2;
  int64_t most_waiting = 256;  // constraints that wait for a thread
  int64_t cache_bytes = int64_t{256} << 20;
};

class Compiler {
 public:
  using Result = absl::StatusOr<std::shared_ptr<const CompiledConstraint>>;
  // Compiles one constraint. Called on several threads at the same time.
  using CompileOne = std::function<Result(const model::ConstraintSpec&)>;
  using Done = std::function<void(const Result&)>;

  Compiler(CompileOne compile, CompilerLimits limits);
  // Stops, and returns when the running compilations have ended.
  ~Compiler();

  // Calls each `done` that still waits, on this thread, with Cancelled. A later call of Compile gets
  // Unavailable. A `done` that a compiler's thread is calling may end after Stop has returned. Thread-safe.
  void Stop();

  // Calls `done` once: on this thread, before Compile returns, if the result is in the cache or nothing can
  // be compiled now; else on a thread of the compiler. `done` must not block. Errors of the result: those of
  // CompileOne; DeadlineExceeded, if compiling takes longer than CompilerLimits::time; Unavailable, if too
  // many constraints wait. Thread-safe.
  void Compile(const model::ConstraintSpec& spec, Done done);

  // The same, and waits for the result.
  Result CompileAndWait(const model::ConstraintSpec& spec);

 private:
  struct Job {
    model::ConstraintSpec spec;
    std::vector<Done> waiting;
    absl::Time started = absl::InfiniteFuture();
    bool given_up = false;
  };
  struct Entry {
    std::string key;
    Result result;
    int64_t bytes = 0;
  };

  void RunThread();
  void RunWatch();
  void StartThread();
  // Takes the callers of `job` away, who get `result` after the lock is released.
  std::vector<Done> Settle(Job& job, const Result& result);
  void Remember(const std::string& key, const Result& result);

  const CompileOne compile_;
  const CompilerLimits limits_;
  std::mutex mutex_;
  std::condition_variable wake_threads_, wake_watch_;
  bool stopped_ = false;
  std::deque<std::shared_ptr<Job>> queue_;
  std::vector<std::shared_ptr<Job>> running_;
  int32_t given_up_ = 0;  // compilations that were given up and still run
  absl::flat_hash_map<std::string, std::shared_ptr<Job>> pending_;  // the jobs that wait or run, by content
  std::list<Entry> cache_;                                          // the latest use first
  absl::flat_hash_map<std::string, std::list<Entry>::iterator> cached_;
  int64_t cached_bytes_ = 0;
  std::vector<std::thread> threads_;
  std::thread watch_;
};

}  // namespace deeprack::constraint
