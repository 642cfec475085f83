// One rank of an expert-parallel DeepSeek R1 with random weights of the real sizes: every kernel of a step,
// in order. What other ranks would send and receive is a copy of as many bytes on this card.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/gpu/sm90_buffers.h"

namespace deeprack::bench {

struct RankShape {
  int64_t ranks = 8;  // expert parallel; each holds 256 / ranks experts and whole sequences of its own
  int64_t sequences = 1;
  int64_t rows = 1;        // of each sequence: 1 decodes
  int64_t context = 1024;  // positions each sequence's last row sees
  int64_t tokens() const { return sequences * rows; }
};

// Where the time goes. A step runs all of them in each layer; one alone can be timed.
enum class Part {
  kNorms,
  kProjections,
  kHeads,
  kAttention,
  kRouting,
  kExchange,
  kExperts,
  kShared,
  kHead,
  kCount
};
const char* NameOf(Part part);

class FullRank {
 public:
  // Weights of as many layers as fit in `bytes` (at most 61), which then take turns: each is larger than the
  // cache by far.
  FullRank(const RankShape& shape, int64_t bytes);
  ~FullRank();

  int64_t layers_in_memory() const;
  double weight_bytes_of_a_step() const;
  // Enqueues a step: all parts, or one of them.
  void Step(const kernels::Execution& execution, Part only = Part::kCount) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace deeprack::bench
