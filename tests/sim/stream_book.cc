#include "tests/sim/stream_book.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace deeprack::coordinator::sim {
namespace {

template <class... Parts>
absl::Status WrongEvent(const TokenEvent& event, const Parts&... parts) {
  return absl::InternalError(absl::StrCat("the stream of sequence ", event.sequence, ": ", parts...));
}

}  // namespace

absl::Status StreamBook::Take(const TokenEvent& event) {
  const auto found = streams_.find(event.sequence);
  if (found == streams_.end()) return WrongEvent(event, "an event of a sequence that nobody asked for");
  Stream& stream = found->second;
  if (stream.finish != FinishReason::kNone) return WrongEvent(event, "an event after the last one");
  if (event.cached_tokens < 0 || event.cached_tokens >= std::ssize(stream.request.prompt)) {
    return WrongEvent(event, event.cached_tokens, " cached tokens of a prompt of ",
                      stream.request.prompt.size());
  }
  DR_RETURN_IF_ERROR(CheckPromptLogprobs(stream, event));
  if (event.has_token) DR_RETURN_IF_ERROR(CheckToken(stream, event));
  DR_RETURN_IF_ERROR(CheckFinish(stream, event));
  stream.finish = event.finish;
  if (event.finish != FinishReason::kNone) --live_;
  return absl::OkStatus();
}

absl::Status StreamBook::CheckToken(Stream& stream, const TokenEvent& event) {
  if (stream.expected.finish() != FinishReason::kNone) {
    return WrongEvent(event, "token ", stream.tokens.size(), " comes after the end");
  }
  const TokenId expected = stream.expected.Next();
  if (event.token != expected) {
    return WrongEvent(event, "token ", stream.tokens.size(), " is ", event.token, "; alone it is ", expected);
  }
  stream.tokens.push_back(event.token);
  if (stream.request.sampling.top_logprobs < 0) return absl::OkStatus();
  const model::TokenLogprob& chosen = event.logprobs.chosen;
  const auto logprob = -static_cast<float>(stream.expected.size() - 1);
  if (chosen.token != event.token || chosen.logprob != logprob)
    return WrongEvent(event, "token ", stream.tokens.size() - 1, " has another one's log-probability");
  return absl::OkStatus();
}

absl::Status StreamBook::CheckPromptLogprobs(Stream& stream, const TokenEvent& event) const {
  for (const model::PositionLogprobs& entry : event.prompt_logprobs) {
    const int32_t position = ++stream.prompt_logprobs;
    if (stream.request.prompt_logprobs < 0 || position >= std::ssize(stream.request.prompt) ||
        entry.chosen.token != stream.request.prompt[static_cast<size_t>(position)] ||
        entry.chosen.logprob != -static_cast<float>(position)) {
      return WrongEvent(event, "the log-probability of prompt token ", position, " is another one's");
    }
  }
  return absl::OkStatus();
}

absl::Status StreamBook::CheckFinish(const Stream& stream, const TokenEvent& event) const {
  const FinishReason expected = stream.expected.finish();
  switch (event.finish) {
    case FinishReason::kNone:
      if (event.has_token && expected != FinishReason::kNone)
        return WrongEvent(event, "does not end with token ", stream.tokens.size() - 1, "; alone it does");
      return absl::OkStatus();
    case FinishReason::kCancelled:
      return stream.cancelled ? absl::OkStatus() : WrongEvent(event, "ends as if it was cancelled");
    case FinishReason::kError:
      return stream.may_fail.empty() ? WrongEvent(event, "fails: ", event.error.message()) : absl::OkStatus();
    case FinishReason::kStop:
    case FinishReason::kLength:
      break;
  }
  if (event.finish != expected) {
    return WrongEvent(event, "ends after ", stream.tokens.size(), " tokens with reason ", int(event.finish),
                      "; alone the reason is ", int(expected));
  }
  const int64_t due = stream.request.prompt_logprobs < 0 ? 0 : std::ssize(stream.request.prompt) - 1;
  if (stream.prompt_logprobs != due)
    return WrongEvent(event, "ends with ", stream.prompt_logprobs, " of ", due, " prompt log-probabilities");
  return absl::OkStatus();
}

void StreamBook::Shrink(int64_t positions) {
  for (auto& [id, stream] : streams_) {
    if (stream.finish != FinishReason::kNone) continue;
    stream.expected.Shrink(positions);
    const bool begun = !stream.tokens.empty();
    if (stream.expected.size() + (begun ? 0 : 1) > positions)
      stream.may_fail = "the cache is too small for it";
  }
}

void StreamBook::MayFail(const std::string& why) {
  for (auto& [id, stream] : streams_) {
    if (stream.finish == FinishReason::kNone) stream.may_fail = why;
  }
}

void StreamBook::CutAll() {
  for (auto& [id, stream] : streams_) {
    if (stream.finish == FinishReason::kNone) stream.finish = FinishReason::kCancelled;
  }
  live_ = 0;
}

absl::Status StreamBook::CheckAllEnded() const {
  for (const auto& [id, stream] : streams_) {
    if (stream.finish == FinishReason::kNone)
      return absl::InternalError(absl::StrCat("sequence ", id, " has no last event"));
  }
  return absl::OkStatus();
}

}  // namespace deeprack::coordinator::sim
