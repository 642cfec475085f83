// Runs the prompts of a golden on one rank, in steps as a scheduler makes them, and compares the results with
// the golden.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/parity/golden.h"
#include "worker/collectives/communicator.h"
#include "worker/engine/engine.h"

namespace deeprack::parity {

// How prompts are divided into chunks.
enum class Chunking : uint8_t {
  // A whole prompt, three chunks, and all tokens but the last; sequences start one after the other, so a step
  // has prefills and
  // decodes.
  kMixed,
  kOneByOne  // one token in each step: the decode path at every position of a prompt
};

struct Tolerances {
  double logits = 0;       // largest difference of a position's logits, relative to its largest golden logit
  double bf16_logits = 0;  // the same for the golden's bf16 logits
};

inline constexpr Tolerances kF32Tolerances = {.logits = 1e-4};
inline constexpr Tolerances kBF16Tolerances = {.logits = 2e-2, .bf16_logits = 2e-2};

// The largest difference, relative to the largest golden value; infinite if a value is not finite.
double RelativeDifference(const float* actual, const std::vector<float>& golden);

// The results of one rank. Ranks that do not sample compare nothing.
struct RankReport {
  int64_t positions = 0;  // positions whose logits were compared
  int64_t tokens = 0;     // tokens that were compared with the golden's greedy tokens
  double worst = 0;       // largest relative difference of logits
  std::vector<std::string> failures;
};

// The numbers of positions and tokens that all ranks together must have compared.
RankReport ExpectedCounts(const Golden& golden, DType compute, Chunking chunking, int greedy_tokens);

// Collective: all ranks of options.layout must call it, each with its rank and its member of the world.
// Checks the first `greedy_tokens` tokens of each continuation.
RankReport ServeGolden(const Golden& golden, const worker::EngineOptions& options, Chunking chunking,
                       int greedy_tokens, worker::Communicator* world);

// Engine options for golden.folder with small limits.
worker::EngineOptions GoldenOptions(const Golden& golden, const model::Layout& layout, DType compute,
                                    model::ExpertExchange exchange, model::PrefillAttention prefill);

}  // namespace deeprack::parity
