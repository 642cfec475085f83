#include "cli/load/answer_stream.h"

#include "absl/strings/str_cat.h"
#include "cli/load/answer_event.h"

namespace deeprack::cli {

void AnswerStream::Feed(absl::string_view bytes, double now) {
  for (const std::string& data : reader_.Feed(bytes)) {
    if (done_) return;
    TakeEvent(data, now);
  }
}

void AnswerStream::End(absl::string_view reason, double now) {
  if (!done_) Fail("broken stream", absl::StrCat("the answer ended before [DONE]: ", reason), now);
}

void AnswerStream::TakeEvent(const std::string& data, double now) {
  if (data == "[DONE]") {
    if (record_.token_events == 0) return Fail("no token", "the answer ended without a token", now);
    record_.ended = now;
    done_ = true;
    return;
  }
  AnswerEvent event = ReadAnswerEvent(data);
  if (!event.is_json)
    return Fail("bad event", absl::StrCat("the server sent no JSON: ", data.substr(0, 200)), now);
  if (event.is_error) {
    return Fail(absl::StrCat("error event", event.error_code.empty() ? "" : " ", event.error_code),
                std::move(event.message), now);
  }
  // A token whose bytes are a part of a character has an empty text; the usage of its event counts it. Where
  // only the last event has usage, that usage counts the earlier events' tokens.
  const bool counted = usage_seen_ || record_.token_events == 0;
  const bool carries =
      event.has_text || (event.has_choice && counted && event.output_tokens > record_.output_tokens);
  if (event.prompt_tokens >= 0) record_.prompt_tokens = event.prompt_tokens;
  if (event.cached_tokens >= 0) record_.cached_tokens = event.cached_tokens;
  if (event.output_tokens >= 0) {
    usage_seen_ = true;
    record_.output_tokens = event.output_tokens;
  } else if (!usage_seen_ && carries) {
    ++record_.output_tokens;
  }
  if (!carries) return;
  if (record_.token_events++ == 0) {
    record_.first = now;
  } else {
    record_.event_gaps.push_back(static_cast<float>(now - record_.last));
  }
  record_.last = now;
  if (keep_text_) record_.answer += event.content;
}

void AnswerStream::Fail(std::string kind, std::string message, double now) {
  record_.error_kind = std::move(kind);
  record_.error_message = std::move(message);
  record_.ended = now;
  done_ = true;
}

}  // namespace deeprack::cli
