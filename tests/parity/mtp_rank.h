// Runs a model's MTP layer, ranks as threads, and compares its logits and drafts with a golden's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/parity/golden.h"
#include "tests/parity/layouts.h"

namespace deeprack::parity {

struct MtpReport {
  int64_t rows = 0;    // compared
  int64_t drafts = 0;  // compared
  double worst = 0;    // the largest relative difference of a row
  std::vector<std::string> failures;
};

struct MtpComparison {
  uint8_t level = 0;     // the least level of rows and drafts that are compared (MtpGoldenPrompt)
  double tolerance = 0;  // of a row: RelativeDifference
  // Not null: takes the logits and the drafts of every row, at any level. Entry i is of prompt i, with the
  // sizes of the prompts that are run.
  std::vector<MtpGoldenPrompt>* computed = nullptr;
};

// The comparison with a golden of transformers.
MtpComparison GoldenComparison(DType compute);

// A prompt with the sizes of its results, whose rows and drafts have level 0. `tokens` are a prompt's tokens
// and the tokens after the prompt.
MtpGoldenPrompt UncheckedPrompt(std::vector<TokenId> tokens);

// The prompts in two steps on every rank of the placement: every second prompt is in both, all with positions
// of the prompt and after it. `golden` names the model's folder or file and has as many prompts as `prompts`.
// The counts are those of all ranks together.
MtpReport RunMtp(const Golden& golden, const std::vector<MtpGoldenPrompt>& prompts,
                 const Placement& placement, DType compute, const MtpComparison& comparison);

// The counts that RunMtp must report. Each dp group compares its own prompts once.
MtpReport ExpectedOfMtp(const std::vector<MtpGoldenPrompt>& prompts, uint8_t level);

}  // namespace deeprack::parity
