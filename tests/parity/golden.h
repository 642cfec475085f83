// Reads goldens, the results of transformers (make_goldens.py), from goldens/NAME/golden.safetensors.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"

namespace deeprack::parity {

struct GoldenPrompt {
  std::vector<TokenId> tokens;
  std::vector<std::vector<float>> logits;  // [position][vocab], fp32 compute
  std::vector<TokenId> greedy;             // the next tokens by greedy decoding, fp32 compute
  std::vector<float> bf16_logits;          // [vocab]: of the last position, bf16 compute
  std::vector<TokenId> bf16_greedy;
  std::vector<uint8_t> bf16_clear;  // [tokens] 1: rounding must not change this token of bf16_greedy
};

struct Golden {
  std::string name;
  std::string folder;  // of the checkpoint
  bool has_experts = true;
  std::vector<GoldenPrompt> prompts;
};

// Every golden that is committed.
std::vector<std::string> GoldenNames();

absl::StatusOr<Golden> LoadGolden(const std::string& name);

// The golden of demo/model: fp32 only, the bf16 fields are empty. FailedPrecondition: demo/model has been
// trained again since the golden was made.
absl::StatusOr<Golden> LoadDemoGolden();

}  // namespace deeprack::parity
