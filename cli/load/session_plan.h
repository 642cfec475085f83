// What a load test sends, before any text is made of the plan. Pure values.
#pragma once

#include <cstdint>
#include <vector>

namespace deeprack::cli {

inline constexpr int64_t kMostTokens = int64_t{1} << 24;  // of a prompt or an answer

// A piece of a prompt. Parts with equal ids begin with equal words; an id is used by one part, unless prompts
// shall share a beginning.
struct TextPart {
  uint64_t id = 0;
  int64_t tokens = 0;  // roughly: the text is made of whole words
  bool operator==(const TextPart&) const = default;
};

struct Turn {
  std::vector<TextPart> parts;  // what the user says
  int64_t output_tokens = 1;
  double think_seconds =
      0;  // from the end of the earlier turn's answer to this turn; the first turn has none
  bool operator==(const Turn&) const = default;
};

// One conversation. Each turn's request holds the earlier turns and their answers.
struct SessionPlan {
  double start_seconds = 0;      // from the start of the level; of use in an open loop
  std::vector<TextPart> system;  // the system prompt; may be empty
  std::vector<Turn> turns;       // at least one
  bool operator==(const SessionPlan&) const = default;
};

}  // namespace deeprack::cli
