// One rank serves the prompts of a golden as a scheduler would, and holds what it answers against the golden.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/parity/golden.h"
#include "worker/collectives/communicator.h"
#include "worker/engine/engine.h"

namespace deeprack::parity {

// How prompts are cut into chunks.
enum class Chunking : uint8_t {
  kMixed,  // whole, in three chunks, all but the last token; prefills beside decodes, sequences starting one
           // by one
  kOneByOne  // every token a step: the decode path at every position of a prompt
};

struct Tolerances {
  double logits = 0;       // largest difference of a position's logits over its largest golden logit
  double bf16_logits = 0;  // the same against the golden's bf16 logits
};

inline constexpr Tolerances kF32Tolerances = {.logits = 1e-4};
inline constexpr Tolerances kBF16Tolerances = {.logits = 2e-2, .bf16_logits = 2e-2};

// What one rank saw; ranks that do not sample check nothing.
struct RankReport {
  int64_t positions = 0;  // whose logits were compared
  int64_t tokens = 0;     // that were compared with the golden's greedy ones
  double worst = 0;       // relative difference of logits
  std::vector<std::string> failures;
};

// How many positions and tokens all ranks together must report.
RankReport ExpectedCounts(const Golden& golden, DType compute, Chunking chunking, int greedy_tokens);

// Collective: all ranks of options.layout call it with their rank and their member of the world.
// `greedy_tokens` of each continuation are checked.
RankReport ServeGolden(const Golden& golden, const worker::EngineOptions& options, Chunking chunking,
                       int greedy_tokens, worker::Communicator* world);

// Options for golden.folder with small limits.
worker::EngineOptions GoldenOptions(const Golden& golden, const model::Layout& layout, DType compute,
                                    model::ExpertExchange exchange, model::PrefillAttention prefill);

}  // namespace deeprack::parity
