#include "cli/load/workload.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "cli/load/draws.h"

namespace deeprack::cli {
namespace {

// What a seed that MixSeed makes is for.
enum Purpose : uint64_t { kLengths, kPrefixes, kTexts };

int64_t DrawLength(int64_t mean, double spread, Draws& draws) {
  const double factor = 1 + spread * (2 * draws.Uniform() - 1);
  return std::max<int64_t>(1, std::llround(static_cast<double>(mean) * factor));
}

}  // namespace

absl::StatusOr<WorkloadShape> NamedWorkload(absl::string_view name) {
  if (name == "chat") return WorkloadShape{.input_tokens = 256, .output_tokens = 128, .spread = 0.5};
  if (name == "long-prompt") return WorkloadShape{.input_tokens = 4096, .output_tokens = 64, .spread = 0.1};
  if (name == "shared-prefix") {
    return WorkloadShape{
        .input_tokens = 128, .output_tokens = 128, .spread = 0.5, .prefix_tokens = 1024, .prefixes = 4};
  }
  if (name == "agent") {
    return WorkloadShape{.input_tokens = 128,
                         .output_tokens = 64,
                         .spread = 0.5,
                         .prefix_tokens = 512,
                         .prefixes = 1,
                         .turns = 6,
                         .think_seconds = 0.5};
  }
  return absl::InvalidArgumentError(absl::StrCat("'", name, "' is no workload; there are ", kWorkloadNames));
}

int64_t SessionsFor(const WorkloadShape& shape, int64_t requests) {
  return (requests + shape.turns - 1) / shape.turns;
}

std::vector<SessionPlan> MakeSessions(const WorkloadShape& shape, int64_t requests,
                                      const std::vector<double>& starts, uint64_t seed) {
  Draws draws(MixSeed(seed, kLengths));
  std::vector<SessionPlan> sessions(static_cast<size_t>(SessionsFor(shape, requests)));
  uint64_t texts = 0;
  for (size_t i = 0; i < sessions.size(); ++i) {
    SessionPlan& session = sessions[i];
    if (!starts.empty()) session.start_seconds = starts[i];
    if (shape.prefix_tokens > 0) {
      const uint64_t prefix = draws.Below(static_cast<uint64_t>(shape.prefixes));
      session.system.push_back({.id = MixSeed(seed, kPrefixes, prefix), .tokens = shape.prefix_tokens});
    }
    for (int64_t turn = 0; turn < shape.turns && requests > 0; ++turn, --requests) {
      session.turns.push_back({.parts = {{.id = MixSeed(seed, kTexts, texts++),
                                          .tokens = DrawLength(shape.input_tokens, shape.spread, draws)}},
                               .output_tokens = DrawLength(shape.output_tokens, shape.spread, draws),
                               .think_seconds = turn > 0 ? draws.Exponential(shape.think_seconds) : 0});
    }
  }
  return sessions;
}

}  // namespace deeprack::cli
