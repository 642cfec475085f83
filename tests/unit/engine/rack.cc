#include "tests/unit/engine/rack.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <thread>

#include "base/status_macros.h"
#include "worker/collectives/local/local_world.h"
#include "worker/collectives/staged/staged_communicator.h"
#include "worker/device/cpu_device.h"

namespace deeprack::worker::testing {
namespace {

void OnEveryRank(int ranks, const std::function<void(int)>& body) {
  std::vector<std::thread> threads;
  for (int rank = 1; rank < ranks; ++rank) threads.emplace_back(body, rank);
  body(0);
  for (std::thread& thread : threads) thread.join();
}

// A world whose ranks exchange memory of `device`.
std::unique_ptr<Communicator> WorldOf(const std::shared_ptr<Device>& device,
                                      std::unique_ptr<Communicator> host) {
  return device->shares_host_memory() ? std::move(host) : MakeStagedCommunicator(device, std::move(host));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Rack>> Rack::Create(const EngineOptions& options,
                                                   const MakeDevice& make_device, absl::Duration timeout) {
  auto rack = std::make_unique<Rack>();
  const int ranks = options.layout.world_size();
  rack->layout_ = options.layout;
  rack->world_ = MakeLocalWorld(ranks, timeout);
  rack->devices_.resize(static_cast<size_t>(ranks));
  for (int rank = 0; rank < ranks; ++rank) rack->logits_.push_back(std::make_unique<LogitsRecorder>());
  std::vector<absl::StatusOr<std::unique_ptr<Engine>>> engines(static_cast<size_t>(ranks));
  OnEveryRank(ranks, [&](int rank) {
    EngineOptions own = options;
    own.rank = rank;
    std::unique_ptr<Communicator>& world = rack->world_[static_cast<size_t>(rank)];
    std::shared_ptr<Device>& device = rack->devices_[static_cast<size_t>(rank)];
    device = make_device ? make_device() : MakeCpuDevice(own.threads);
    world = WorldOf(device, std::move(world));
    engines[static_cast<size_t>(rank)] =
        Engine::Create(own, device, world.get(), {}, rack->logits_[static_cast<size_t>(rank)].get());
  });
  for (auto& engine : engines) {
    if (!engine.ok()) return engine.status();
    rack->engines_.push_back(*std::move(engine));
  }
  return rack;
}

absl::Status Rack::Rejoin(Epoch epoch) {
  std::vector<std::unique_ptr<Communicator>> world = MakeLocalWorld(size(), absl::Seconds(60));
  std::vector<absl::Status> statuses(engines_.size());
  OnEveryRank(size(), [&](int rank) {
    const auto r = static_cast<size_t>(rank);
    world[r] = WorldOf(devices_[r], std::move(world[r]));
    statuses[r] = engines_[r]->Rejoin(epoch, world[r].get());
  });
  world_ = std::move(world);
  for (const absl::Status& status : statuses) DR_RETURN_IF_ERROR(status);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ExecutedStep>> Rack::ExecuteEach(const std::function<GroupStep(Rank)>& step_of) {
  std::vector<absl::StatusOr<ExecutedStep>> results(engines_.size());
  OnEveryRank(size(),
              [&](int rank) { results[static_cast<size_t>(rank)] = engine(rank).Execute(step_of(rank)); });
  std::vector<ExecutedStep> executed;
  for (auto& result : results) {
    if (!result.ok()) return result.status();
    executed.push_back(*std::move(result));
  }
  return executed;
}

absl::StatusOr<std::vector<Answer>> Rack::Execute(const WrittenStep& step) {
  DR_ASSIGN_OR_RETURN(const std::vector<ExecutedStep> results,
                      ExecuteEach([&](Rank rank) { return GroupStepOf(step, layout_, rank); }));
  std::vector<Answer> joined;
  std::vector<size_t> next_of_group(static_cast<size_t>(layout_.dp), 0);
  for (const WrittenSequence& sequence : step.sequences) {
    const size_t index = next_of_group[static_cast<size_t>(sequence.dp_rank)]++;
    for (Rank rank = 0; rank < size(); ++rank) {
      const ExecutedStep& executed = results[static_cast<size_t>(rank)];
      const model::RankCoordinates at = model::CoordinatesOf(layout_, rank);
      if (at.dp_rank != sequence.dp_rank) continue;
      const bool draws = at.tp_rank == 0 && at.pp_rank + 1 == layout_.pp;
      EXPECT_EQ(executed.result.sequences.size(), draws ? executed.outcomes.tokens.size() : 0u)
          << "rank " << rank;
      if (!draws) continue;
      const model::SequenceResult& own = executed.result.sequences.at(index);
      EXPECT_EQ(own.sequence, sequence.sequence);
      joined.push_back(AnswerOf(own));
      const TokenId outcome = own.non_finite ? kNotFinite : own.tokens.empty() ? kNoToken : own.tokens[0];
      for (Rank other = 0; other < size(); ++other) {
        if (model::CoordinatesOf(layout_, other).dp_rank != sequence.dp_rank) continue;
        EXPECT_EQ(results[static_cast<size_t>(other)].outcomes.tokens.at(index), outcome) << "rank " << other;
      }
    }
  }
  EXPECT_EQ(joined.size(), step.sequences.size());
  return joined;
}

std::vector<Logits> Rack::LogitsOf(const WrittenStep& plan) {
  const auto results = Execute(plan);
  EXPECT_TRUE(results.ok()) << results.status();
  return LastLogits(plan);
}

std::vector<Logits> Rack::LastLogits(const WrittenStep& step) {
  std::vector<Logits> logits(step.sequences.size());
  std::vector<int64_t> next_of_group(static_cast<size_t>(layout_.dp), 0);
  for (size_t i = 0; i < logits.size(); ++i) {
    const int32_t dp_rank = step.sequences[i].dp_rank;
    const int64_t index = next_of_group[static_cast<size_t>(dp_rank)]++;
    if (step.sequences[i].padding) continue;
    int answers = 0;
    for (Rank rank = 0; rank < size(); ++rank) {
      if (model::CoordinatesOf(layout_, rank).dp_rank != dp_rank) continue;
      const float* row = logits_[static_cast<size_t>(rank)]->Of(index);
      if (row == nullptr) continue;
      ++answers;
      logits[i].assign(row, row + engine(rank).config().vocab_size);
    }
    EXPECT_EQ(answers, 1) << "sequence " << i << " of the step";
  }
  return logits;
}

WrittenSequence Sequence::Chunk(int64_t begin, int64_t end) const {
  WrittenSequence plan;
  plan.sequence = id;
  plan.dp_rank = dp_rank;
  plan.prompt_size = prompt_size > 0 ? prompt_size : static_cast<int32_t>(tokens.size());
  plan.num_computed = static_cast<int32_t>(begin);
  plan.token_ids.assign(tokens.begin() + begin, tokens.begin() + end);
  plan.block_table = blocks;
  plan.sample = true;
  plan.sampling.temperature = 0;
  return plan;
}

std::vector<TokenId> RandomTokens(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<TokenId> tokens;
  for (int64_t i = 0; i < count; ++i) tokens.push_back(static_cast<TokenId>(random() % 131));
  return tokens;
}

model::OpenedSequence RandomSequence(int32_t id, int32_t prompt, int32_t output,
                                     model::SamplingParams sampling, std::vector<TokenId> stops,
                                     int32_t min_tokens) {
  return {.slot = 5 * id,
          .sequence = static_cast<SequenceId>(id),
          .prompt_size = prompt,
          .tokens = RandomTokens(prompt, static_cast<uint32_t>(id)),
          .sampling = std::move(sampling),
          .end = {.stop_tokens = std::move(stops), .min_tokens = min_tokens, .max_size = prompt + output}};
}

EngineOptions TinyOptions(const std::string& folder, DType compute, const model::Layout& layout,
                          model::ExpertExchange exchange) {
  EngineOptions options;
  options.model_path = folder;
  options.layout = layout;
  options.epoch = 7;
  options.compute = compute;
  options.expert_exchange = exchange;
  options.kv_bytes = 4 << 20;
  options.max_step_tokens = 400;
  options.max_sequences = 8;
  return options;
}

}  // namespace deeprack::worker::testing
