#include "coordinator/api/event_text.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "coordinator/api/answer_json.h"
#include "coordinator/tokenizer/utf8.h"

namespace deeprack::coordinator {
namespace {

bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20; }

void AppendEscaped(char c, std::string& out) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\b':
      out += "\\b";
      return;
    case '\f':
      out += "\\f";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default: {
      constexpr std::string_view kDigits = "0123456789abcdef";
      out += "\\u00";
      out += kDigits[static_cast<unsigned char>(c) >> 4];
      out += kDigits[static_cast<unsigned char>(c) & 15];
    }
  }
}

}  // namespace

void AppendJsonString(std::string_view text, std::string& out) {
  if (FirstInvalidUtf8(text)) {  // rare: the detokenizer gives out whole characters
    out += Dump(Json(text));
    return;
  }
  out += '"';
  size_t plain = 0;  // the begin of the text that is not appended yet
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (!IsControl(c) && c != '"' && c != '\\') continue;
    out.append(text, plain, i - plain);
    AppendEscaped(c, out);
    plain = i + 1;
  }
  out.append(text, plain);
  out += '"';
}

void AppendJsonNumber(int64_t value, std::string& out) { absl::StrAppend(&out, value); }

void AppendJsonIds(std::span<const TokenId> ids, std::string& out) {
  out += '[';
  for (size_t i = 0; i < ids.size(); ++i) absl::StrAppend(&out, i == 0 ? "" : ",", ids[i]);
  out += ']';
}

void AppendUsage(const Usage& usage, std::string& out) {
  absl::StrAppend(&out, R"({"prompt_tokens":)", usage.prompt_tokens, R"(,"completion_tokens":)",
                  usage.completion_tokens, R"(,"total_tokens":)",
                  usage.prompt_tokens + usage.completion_tokens);
  absl::StrAppend(&out, R"(,"prompt_tokens_details":{"cached_tokens":)", usage.cached_tokens,
                  R"(},"completion_tokens_details":{"reasoning_tokens":)", usage.reasoning_tokens);
  if (usage.accepted_drafts + usage.rejected_drafts > 0) {
    absl::StrAppend(&out, R"(,"accepted_prediction_tokens":)", usage.accepted_drafts,
                    R"(,"rejected_prediction_tokens":)", usage.rejected_drafts);
  }
  absl::StrAppend(&out, R"(},"prompt_cache_hit_tokens":)", usage.cached_tokens,
                  R"(,"prompt_cache_miss_tokens":)", usage.prompt_tokens - usage.cached_tokens, "}");
}

void AppendUsageSoFar(const ChoiceUpdate& update, std::string& out) {
  if (!update.usage) {
    out += "null";
    return;
  }
  AppendUsage(*update.usage, out);
}

std::string OpenObject(const Json& object) {
  std::string text = Dump(object);
  text.pop_back();
  return text;
}

}  // namespace deeprack::coordinator
