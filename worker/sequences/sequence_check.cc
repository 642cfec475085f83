#include "worker/sequences/sequence_check.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "model/step/sampling_check.h"

namespace deeprack::worker {
namespace {

// Far more than a request may have and a model's own ends. Each is looked for at each token.
constexpr int64_t kMostStopTokens = 4096;

std::string FaultOfSampling(const model::SamplingParams& p, int64_t vocab_size) {
  if (const absl::Status status = model::CheckSampling(p); !status.ok()) return std::string(status.message());
  if (p.top_logprobs > vocab_size)
    return absl::StrCat("top_logprobs ", p.top_logprobs, " is not in [-1, ", vocab_size, "]");
  for (const auto& [token, _] : p.logit_bias) {
    if (token < 0 || token >= vocab_size)
      return absl::StrCat("logit_bias of token ", token, " of ", vocab_size);
  }
  return "";
}

}  // namespace

std::string FaultOf(const model::OpenedSequence& sequence, int64_t vocab_size,
                    const model::StepLimits& limits) {
  const int64_t size = std::ssize(sequence.tokens);
  if (size > limits.max_context)
    return absl::StrCat(size, " tokens, beyond the context of ", limits.max_context);
  if (sequence.prompt_size < 1 || sequence.prompt_size > size)
    return absl::StrCat("prompt_size ", sequence.prompt_size, " is not in [1, ", size,
                        "], the number of its tokens");
  for (const TokenId token : sequence.tokens) {
    if (token < 0 || token >= vocab_size) return absl::StrCat("token ", token, " of ", vocab_size);
  }
  if (sequence.num_computed < 0 || sequence.num_computed >= size)
    return absl::StrCat("num_computed ", sequence.num_computed, " is not in [0, ", size,
                        "), the number of its tokens");
  if (sequence.end.max_size < size || sequence.end.max_size > limits.max_context)
    return absl::StrCat("max_size ", sequence.end.max_size, " is not in [", size, ", ", limits.max_context,
                        "], from the number of its tokens to the context");
  if (std::ssize(sequence.end.stop_tokens) > kMostStopTokens)
    return absl::StrCat(sequence.end.stop_tokens.size(), " stop tokens; the most are ", kMostStopTokens);
  for (const TokenId token : sequence.end.stop_tokens) {
    if (token < 0 || token >= vocab_size) return absl::StrCat("stop token ", token, " of ", vocab_size);
  }
  const int64_t most = std::min<int64_t>(vocab_size, model::kMostTopLogprobs);
  if (sequence.prompt_logprobs < -1 || sequence.prompt_logprobs > most)
    return absl::StrCat("prompt_logprobs ", sequence.prompt_logprobs, " is not in [-1, ", most, "]");
  return FaultOfSampling(sequence.sampling, vocab_size);
}

}  // namespace deeprack::worker
