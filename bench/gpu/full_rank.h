// One rank of an expert-parallel rack, with dummy weights of the real sizes. The other ranks are copies of
// this rank (echo_world.h). The worker's own engine runs step by step as it serves.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "bench/engine/operation_times.h"
#include "worker/device/device.h"
#include "worker/engine/engine.h"

namespace deeprack::bench {

struct FullRankOptions {
  std::string config;  // the text of a config.json; num_hidden_layers is the most layers
  int32_t ranks = 8;   // dp = ep = ranks, experts all_to_all
  int32_t max_context = 0;
  int32_t max_step_tokens = 0;  // at least a page
  int32_t max_sequences = 0;
  int32_t cached_tokens = 0;  // tokens in the pages that all sequences read; more than the card's cache holds
};

// Measurements of steps of one shape.
struct StepTime {
  double seconds = 0;   // the median of a whole step, with the host's part and the draws
  int64_t kernels = 0;  // kernels of the model if it ran from a recording, else 0
};

class FullRank {
 public:
  // Makes as many layers as fit on the device, dense layers first. The engine calls `observer`, if there is
  // one. Errors: those of Engine::Create.
  static absl::StatusOr<std::unique_ptr<FullRank>> Create(const FullRankOptions& options,
                                                          std::unique_ptr<worker::Device> device,
                                                          worker::LogitsObserver* observer = nullptr);
  virtual ~FullRank() = default;

  // Times decode steps of `sequences` sequences whose next token is at position context - 1.
  virtual absl::StatusOr<StepTime> Decode(int32_t sequences, int32_t context, int repeats) = 0;
  // The bytes that such a step must read: weights (of the experts that have rows, if choices are spread
  // evenly) and cache entries.
  virtual double BytesOfDecode(int32_t sequences, int32_t context) const = 0;
  // Times the prefill of a prompt in chunks of at most max_step_tokens; seconds are the sum of its steps.
  virtual absl::StatusOr<StepTime> Prefill(int32_t tokens, int repeats) = 0;
  // Runs such a step or prefill once more and waits for every operation by itself. The times show each
  // operation's share; they are longer than in a real step.
  virtual absl::StatusOr<OperationTimes> OperationsOfDecode(int32_t sequences, int32_t context) = 0;
  virtual absl::StatusOr<OperationTimes> OperationsOfPrefill(int32_t tokens) = 0;

  virtual int64_t layers() const = 0;
  virtual worker::Engine& engine() = 0;
};

}  // namespace deeprack::bench
