// How many tokens the MTP layer drafts for a sequence in one step.
#pragma once

#include <cstdint>
#include <string_view>

namespace deeprack::model {

inline constexpr int32_t kMostSpeculativeTokens = 3;

// The values of --speculative-tokens. A number: as many drafts as that. auto: up to kMostSpeculativeTokens.
inline constexpr const char* kSpeculativeTokensNames[] = {"auto", "0", "1", "2", "3"};
inline constexpr char kDefaultSpeculativeTokens[] = "0";

// The most drafts that a value of kSpeculativeTokensNames allows.
inline int32_t SpeculativeTokensOf(std::string_view name) {
  return name == "auto" ? kMostSpeculativeTokens : name.front() - '0';
}

}  // namespace deeprack::model
