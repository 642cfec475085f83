#include "model/step/sampling_check.h"

#include <cmath>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"

namespace deeprack::model {
namespace {

absl::Status Wrong(const char* name, float value, const char* range) {
  return absl::InvalidArgumentError(absl::StrCat(name, " ", value, " is not ", range));
}

}  // namespace

absl::Status CheckSampling(const SamplingParams& p) {
  if (!std::isfinite(p.temperature) || p.temperature < 0)
    return Wrong("temperature", p.temperature, "a finite number of at least 0");
  if (!(p.top_p > 0 && p.top_p <= 1)) return Wrong("top_p", p.top_p, "in (0, 1]");
  if (!(p.min_p >= 0 && p.min_p <= 1)) return Wrong("min_p", p.min_p, "in [0, 1]");
  if (p.top_k < 0) return absl::InvalidArgumentError(absl::StrCat("top_k ", p.top_k, " is negative"));
  if (!std::isfinite(p.presence_penalty))
    return Wrong("presence_penalty", p.presence_penalty, "a finite number");
  if (!std::isfinite(p.frequency_penalty))
    return Wrong("frequency_penalty", p.frequency_penalty, "a finite number");
  if (!std::isnormal(p.repetition_penalty) || p.repetition_penalty < 0) {
    return Wrong("repetition_penalty", p.repetition_penalty, "above 0");
  }
  if (p.top_logprobs < -1 || p.top_logprobs > kMostTopLogprobs) {
    return absl::InvalidArgumentError(
        absl::StrCat("top_logprobs ", p.top_logprobs, " is not in [-1, ", kMostTopLogprobs, "]"));
  }
  absl::flat_hash_set<TokenId> biased;
  for (const auto& [token, bias] : p.logit_bias) {
    if (!biased.insert(token).second)
      return absl::InvalidArgumentError(absl::StrCat("logit_bias names token ", token, " twice"));
    if (std::isnan(bias)) {
      return absl::InvalidArgumentError(absl::StrCat("logit_bias of token ", token, " is not a number"));
    }
  }
  return absl::OkStatus();
}

}  // namespace deeprack::model
