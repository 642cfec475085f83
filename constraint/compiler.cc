#include "constraint/compiler.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace deeprack::constraint {
namespace {

constexpr int kNice = 10;  // of the compiling threads

std::string KeyOf(const model::ConstraintSpec& spec) {
  return absl::StrCat(static_cast<int>(spec.kind), ":", spec.text);
}

void Tell(const std::vector<Compiler::Done>& waiting, const Compiler::Result& result) {
  for (const Compiler::Done& done : waiting) done(result);
}

}  // namespace

Compiler::Compiler(CompileOne compile, CompilerLimits limits)
    : compile_(std::move(compile)), limits_(limits) {
  const std::lock_guard lock(mutex_);
  for (int32_t i = 0; i < limits_.threads; ++i) StartThread();
  watch_ = std::thread([this] { RunWatch(); });
}

Compiler::~Compiler() {
  Stop();
  watch_.join();  // the watch starts threads
  for (std::thread& thread : threads_) thread.join();
}

void Compiler::Stop() {
  std::vector<Done> waiting;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    for (auto& [key, job] : pending_)
      std::move(job->waiting.begin(), job->waiting.end(), std::back_inserter(waiting));
    pending_.clear();
    queue_.clear();
  }
  wake_threads_.notify_all();
  wake_watch_.notify_all();
  Tell(waiting, absl::CancelledError("the server is stopping"));
}

void Compiler::StartThread() {
  threads_.emplace_back([this] { RunThread(); });
}

void Compiler::Compile(const model::ConstraintSpec& spec, Done done) {
  const std::string key = KeyOf(spec);
  std::unique_lock lock(mutex_);
  if (const auto cached = cached_.find(key); cached != cached_.end()) {
    cache_.splice(cache_.begin(), cache_, cached->second);
    const Result result = cached->second->result;
    lock.unlock();
    return done(result);
  }
  if (const auto pending = pending_.find(key); pending != pending_.end()) {
    pending->second->waiting.push_back(std::move(done));
    return;
  }
  if (stopped_ || std::ssize(queue_) >= limits_.most_waiting) {
    lock.unlock();
    return done(absl::UnavailableError("too many constraints wait to be compiled"));
  }
  auto job = std::make_shared<Job>();
  job->spec = spec;
  job->waiting.push_back(std::move(done));
  pending_.emplace(key, job);
  queue_.push_back(std::move(job));
  wake_threads_.notify_one();
}

Compiler::Result Compiler::CompileAndWait(const model::ConstraintSpec& spec) {
  auto promise = std::make_shared<std::promise<Result>>();
  Compile(spec, [promise](const Result& result) { promise->set_value(result); });
  return promise->get_future().get();
}

void Compiler::RunThread() {
  // Linux gives each thread a priority of its own.
  setpriority(PRIO_PROCESS, 0, kNice);
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_threads_.wait(lock, [this] { return stopped_ || !queue_.empty(); });
    if (stopped_) return;
    const std::shared_ptr<Job> job = std::move(queue_.front());
    queue_.pop_front();
    job->started = absl::Now();
    running_.push_back(job);
    wake_watch_.notify_one();
    lock.unlock();
    const Result result = compile_(job->spec);
    lock.lock();
    std::erase(running_, job);
    if (job->given_up) {
      // The thread that was started in place of this one goes on.
      --given_up_;
      return;
    }
    const std::vector<Done> waiting = Settle(*job, result);
    lock.unlock();
    Tell(waiting, result);
    lock.lock();
  }
}

void Compiler::RunWatch() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    absl::Time next = absl::InfiniteFuture();
    std::shared_ptr<Job> late;
    for (const std::shared_ptr<Job>& job : running_) {
      if (job->given_up) continue;
      const absl::Time deadline = job->started + limits_.time;
      if (deadline <= absl::Now()) late = job;
      next = std::min(next, deadline);
    }
    if (late == nullptr) {
      if (next == absl::InfiniteFuture()) {
        wake_watch_.wait(lock);
      } else {
        wake_watch_.wait_for(lock,
                             absl::ToChronoMilliseconds(next - absl::Now()) + std::chrono::milliseconds(1));
      }
      continue;
    }
    const Result result = absl::DeadlineExceededError(
        absl::StrCat("the constraint takes longer than ", absl::FormatDuration(limits_.time), " to compile"));
    const std::vector<Done> waiting = Settle(*late, result);
    late->started = absl::InfiniteFuture();  // told
    if (given_up_ < limits_.most_given_up) {
      late->given_up = true;
      ++given_up_;
      StartThread();
    }
    lock.unlock();
    Tell(waiting, result);
    lock.lock();
  }
}

std::vector<Compiler::Done> Compiler::Settle(Job& job, const Result& result) {
  std::string key = KeyOf(job.spec);
  const auto pending = pending_.find(key);
  // Not there: the callers were told before.
  if (pending == pending_.end() || pending->second.get() != &job) return {};
  pending_.erase(pending);
  Remember(key, result);
  return std::exchange(job.waiting, {});
}

void Compiler::Remember(const std::string& key, const Result& result) {
  const int64_t bytes = std::ssize(key) * 2 + (result.ok() ? (*result)->bytes() : 0) + 256;
  cache_.push_front({.key = key, .result = result, .bytes = bytes});
  cached_[key] = cache_.begin();
  cached_bytes_ += bytes;
  while (cached_bytes_ > limits_.cache_bytes && cache_.size() > 1) {
    cached_bytes_ -= cache_.back().bytes;
    cached_.erase(cache_.back().key);
    cache_.pop_back();
  }
}

}  // namespace deeprack::constraint
