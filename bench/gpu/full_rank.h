// One rank of an expert-parallel rack, with dummy weights of the real sizes and other ranks that are copies
// of it (echo_world.h): the worker's own engine, step by step as it serves.
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
  std::string config;  // the text of a config.json; its num_hidden_layers are the most that are made
  int32_t ranks = 8;   // dp = ep = ranks, experts all_to_all
  int32_t max_context = 0;
  int32_t max_step_tokens = 0;  // at least a page
  int32_t max_sequences = 0;
  int32_t cached_tokens = 0;  // of the pages that all sequences read; larger than the card's cache
};

// Of steps of one shape.
struct StepTime {
  double seconds = 0;   // the median of a whole step's, the host's part and the draws included
  int64_t kernels = 0;  // of the model, where it ran from a recording; else 0
};

class FullRank {
 public:
  // As many layers as fit on the device are made, dense ones first. `observer` is the engine's. Errors are
  // Engine::Create's.
  static absl::StatusOr<std::unique_ptr<FullRank>> Create(const FullRankOptions& options,
                                                          std::unique_ptr<worker::Device> device,
                                                          worker::LogitsObserver* observer = nullptr);
  virtual ~FullRank() = default;

  // Decodes of so many sequences whose next token is at position context - 1.
  virtual absl::StatusOr<StepTime> Decode(int32_t sequences, int32_t context, int repeats) = 0;
  // What such a step must read: weights (of experts those that have rows, if choices are spread evenly), and
  // the cache's entries.
  virtual double BytesOfDecode(int32_t sequences, int32_t context) const = 0;
  // A prompt, in chunks of at most max_step_tokens: the sum of its steps.
  virtual absl::StatusOr<StepTime> Prefill(int32_t tokens, int repeats) = 0;
  // The same once more, every operation waited for by itself: where the time goes, and nothing's real time.
  virtual absl::StatusOr<OperationTimes> OperationsOfDecode(int32_t sequences, int32_t context) = 0;
  virtual absl::StatusOr<OperationTimes> OperationsOfPrefill(int32_t tokens) = 0;

  virtual int64_t layers() const = 0;
  virtual worker::Engine& engine() = 0;
};

}  // namespace deeprack::bench
