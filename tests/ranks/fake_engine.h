// An engine without a model. Its step is one real all-reduce, and its tokens name the ranks that took part.
#pragma once

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/engine/engine.h"
#include "worker/rpc/engine_thread.h"

namespace deeprack::worker {

// Functions that a rank calls in a load or a step. An error from one of them ends the load or step with that
// error.
struct FakeBehaviour {
  std::function<absl::Status(const EngineOptions&)> on_load = [](const EngineOptions&) {
    return absl::OkStatus();
  };
  std::function<absl::Status(const GroupStep&)> on_step = [](const GroupStep&) { return absl::OkStatus(); };
  // Called after the ranks have met in the load. A real rank reads its weights at this point.
  std::function<absl::Status()> on_read = [] { return absl::OkStatus(); };
};

// The vocabulary of the fake model, and its context without EngineOptions::max_context.
inline constexpr int64_t kFakeVocabulary = 1 << 30;
inline constexpr int32_t kFakeContext = 4096;

// Rank r holds 100 - r KV blocks and loads 1000 + r bytes. In each step all ranks add 2^rank. Each sequence
// that samples draws the token 1000 * its num_computed + that sum; tp rank 0 of the last stage answers for
// its dp group.
CreateEngine MakeFakeEngines(FakeBehaviour behaviour);

}  // namespace deeprack::worker
