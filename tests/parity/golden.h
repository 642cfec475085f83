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

// The MTP layer of a golden's prompt (make_mtp_goldens.py). The levels of a row or token: 2: bf16 compute gives
// it, 1: only fp32 compute does, 0: neither need.
struct MtpGoldenPrompt {
  std::vector<TokenId> tokens;                   // the prompt and some tokens after it
  std::vector<std::vector<float>> logits;        // [tokens - 1][vocab]
  std::vector<uint8_t> clear;                    // levels of the rows of `logits`
  std::vector<std::vector<float>> draft_logits;  // [drafts][vocab]
  std::vector<uint8_t> draft_clear;              // levels of the rows of `draft_logits`
  std::vector<TokenId> drafts;                   // by greedy decoding
  std::vector<uint8_t> drafts_clear;             // levels of `drafts`
};

// Every golden that is committed.
std::vector<std::string> GoldenNames();

absl::StatusOr<Golden> LoadGolden(const std::string& name);

// One entry for each of the golden's prompts. NotFound: the golden has no MTP layer.
absl::StatusOr<std::vector<MtpGoldenPrompt>> LoadMtpGolden(const Golden& golden);

// The golden of demo/model: fp32 only, the bf16 fields are empty. FailedPrecondition: demo/model has been
// trained again since the golden was made.
absl::StatusOr<Golden> LoadDemoGolden();

}  // namespace deeprack::parity
