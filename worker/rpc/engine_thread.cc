#include "worker/rpc/engine_thread.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/config/kv_cache_type.h"
#include "spdlog/spdlog.h"

namespace deeprack::worker {
namespace {

absl::Status Ending() { return absl::AbortedError("this worker is stopping"); }

}  // namespace

EngineThread::EngineThread(JoinWorld join, CreateEngine create)
    : join_(std::move(join)), create_(std::move(create)), thread_([this] { Run(); }) {}

EngineThread::~EngineThread() {
  Abort(std::numeric_limits<Epoch>::max());
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
    posted_.notify_one();
  }
  thread_.join();
}

void EngineThread::Post(Task task) {
  {
    std::lock_guard lock(mutex_);
    if (!ending_) {
      tasks_.push_back(std::move(task));
      posted_.notify_one();
      return;
    }
  }
  task.refuse();
}

void EngineThread::Run() {
  while (true) {
    Task task;
    bool ending = false;
    {
      std::unique_lock lock(mutex_);
      posted_.wait(lock, [this] { return ending_ || !tasks_.empty(); });
      if (tasks_.empty()) break;
      task = std::move(tasks_.front());
      tasks_.pop_front();
      ending = ending_;
    }
    ending ? task.refuse() : task.run();
  }
  engine_.reset();
  engine_world_.reset();
}

void EngineThread::Load(EngineOptions options, Meeting meeting, absl::Duration collective_timeout,
                        Engine::Progress progress, LoadDone done) {
  const WorldRequest world = {.epoch = options.epoch,
                              .rank = options.rank,
                              .size = options.layout.world_size(),
                              .meeting = std::move(meeting),
                              .timeout = collective_timeout,
                              .threads = options.threads,
                              .given_up = [this, epoch = options.epoch] { return IsAborted(epoch); }};
  ++loads_pending_;
  const auto finish = [this, done = std::move(done)](absl::StatusOr<EngineMemory> loaded) {
    done(std::move(loaded));
    --loads_pending_;
  };
  Post({.run = [this, options = std::move(options), world, progress = std::move(progress),
                finish] { finish(LoadNow(options, world, progress)); },
        .refuse = [finish] { finish(Ending()); }});
}

void EngineThread::Execute(model::RankStep step, StepDone done) {
  ++steps_pending_;
  const auto finish = [this, done = std::move(done)](absl::StatusOr<model::RankResult> result) {
    if (result.ok()) ++steps_finished_;
    --steps_pending_;
    done(std::move(result));
  };
  Post({.run = [this, step = std::move(step), finish]() mutable { finish(ExecuteNow(std::move(step))); },
        .refuse = [finish] { finish(Ending()); }});
}

void EngineThread::Abort(Epoch epoch) {
  std::shared_ptr<Communicator> world;
  {
    std::lock_guard lock(mutex_);
    aborted_ = std::max(aborted_.value_or(epoch), epoch);
    if (epoch_ && *epoch_ <= epoch) world = world_;
  }
  if (world != nullptr) world->Abort();
}

void EngineThread::AbortLatest() {
  std::optional<Epoch> latest;
  {
    std::lock_guard lock(mutex_);
    latest = epoch_;
  }
  if (latest) Abort(*latest);
}

bool EngineThread::IsAborted(Epoch epoch) {
  std::lock_guard lock(mutex_);
  return aborted_ && *aborted_ >= epoch;
}

absl::Status EngineThread::Enter(std::shared_ptr<Communicator> world) {
  std::lock_guard lock(mutex_);
  if (aborted_ && *aborted_ >= *epoch_)
    return absl::AbortedError(absl::StrCat("epoch ", *epoch_, " was given up"));
  world_ = std::move(world);
  return absl::OkStatus();
}

absl::StatusOr<EngineMemory> EngineThread::LoadNow(const EngineOptions& options, const WorldRequest& request,
                                                   const Engine::Progress& progress) {
  if (epoch_ && options.epoch <= *epoch_) {
    return absl::FailedPreconditionError(
        absl::StrCat("load for epoch ", options.epoch, ": this worker is in epoch ", *epoch_, " already"));
  }
  table_.reset();
  epoch_end_ = absl::OkStatus();
  if (engine_ != nullptr && !engine_->Suits(options)) {
    engine_.reset();
    engine_world_.reset();
  }
  {
    std::lock_guard lock(mutex_);
    epoch_ = options.epoch;
    world_ = nullptr;
  }
  DR_ASSIGN_OR_RETURN(std::unique_ptr<Communicator> joined, join_(request));
  const std::shared_ptr<Communicator> world = std::move(joined);
  DR_RETURN_IF_ERROR(Enter(world));
  if (world->size() != options.layout.world_size() || world->rank() != options.rank) {
    return absl::FailedPreconditionError(
        absl::StrCat("layout ", ToString(options.layout), " has ", options.layout.world_size(),
                     " ranks and this is its rank ", options.rank, ", but the launcher started ",
                     world->size(), " and this is its rank ", world->rank()));
  }
  if (engine_ != nullptr) {
    spdlog::info("rank {} keeps its weights for epoch {}", options.rank, options.epoch);
    DR_RETURN_IF_ERROR(engine_->Rejoin(options.epoch, world.get()));
  } else {
    DR_ASSIGN_OR_RETURN(engine_, create_(options, world.get(), progress));
  }
  const EngineMemory& memory = engine_->memory();
  spdlog::info("rank {}: KV cache in {}, {} pages of {} tokens, {} bytes", options.rank,
               model::KvCacheTypeName(options.kv_cache_type()), memory.kv_blocks, kPageTokens,
               memory.kv_bytes);
  engine_world_ = world;
  if (options.vocabulary != nullptr && options.vocabulary->vocab_size() != engine_->config().vocab_size) {
    return absl::InvalidArgumentError(
        absl::StrCat("the coordinator's model has ", options.vocabulary->vocab_size(),
                     " tokens, this rank's has ", engine_->config().vocab_size));
  }
  table_.emplace(SequenceTableOptions{.epoch = options.epoch,
                                      .dp = options.layout.dp,
                                      .dp_rank = model::CoordinatesOf(options.layout, options.rank).dp_rank,
                                      .vocab_size = engine_->config().vocab_size,
                                      .blocks = memory.kv_blocks,
                                      .most_drafts = memory.speculative_tokens,
                                      .limits = engine_->limits(),
                                      .vocabulary = options.vocabulary});
  return memory;
}

absl::StatusOr<model::RankResult> EngineThread::ExecuteNow(model::RankStep step) {
  const auto [epoch, number] = std::pair(step.header.epoch, step.header.step);
  if (epoch_ && epoch != *epoch_) {
    return absl::FailedPreconditionError(
        absl::StrCat("step ", number, " is of epoch ", epoch, "; this worker is in epoch ", *epoch_));
  }
  if (!table_) return absl::FailedPreconditionError("no model is loaded");
  if (IsAborted(epoch)) {
    return absl::AbortedError(absl::StrCat("step ", number, ": epoch ", epoch, " was given up"));
  }
  if (!epoch_end_.ok()) return epoch_end_;
  absl::StatusOr<model::RankResult> result = ExecuteIn(*table_, std::move(step));
  epoch_end_ = result.status();
  return result;
}

absl::StatusOr<model::RankResult> EngineThread::ExecuteIn(SequenceTable& table, model::RankStep step) {
  DR_ASSIGN_OR_RETURN(const GroupStep resolved, table.Begin(std::move(step)));
  for (const StepSequence& sequence : resolved.sequences) {
    if (!sequence.refused.empty())
      spdlog::error("step {} is refused for a sequence: {}", resolved.step, std::string(sequence.refused));
  }
  DR_ASSIGN_OR_RETURN(ExecutedStep executed, engine_->Execute(resolved));
  DR_RETURN_IF_ERROR(table.Accept(resolved, executed.outcomes));
  return std::move(executed.result);
}

}  // namespace deeprack::worker
