// Random replies of a model, whose right answer is known, and random cuts of their text into tokens. Writers
// of answers are tested with them: the parts that a writer sends must join to the known answer, whatever the
// cut.
#pragma once

#include <algorithm>
#include <map>
#include <ostream>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "coordinator/api/sequence_text.h"
#include "tests/unit/chat/reply_forms.h"

namespace deeprack::coordinator {

// A tokenizer whose tokens are any texts: tokens below 1000 are ByteTokenizer's, and each further text gets
// the next id when it is asked for.
class CutTokenizer final : public Tokenizer {
 public:
  static constexpr TokenId kFirst = 1000;

  TokenId IdOf(std::string_view text) {
    if (const std::optional<TokenId> special = bytes_.TokenToId(text)) return *special;
    const auto [found, is_new] =
        ids_.try_emplace(std::string(text), kFirst + static_cast<TokenId>(texts_.size()));
    if (is_new) texts_.push_back(&found->first);
    return found->second;
  }

  absl::StatusOr<std::vector<TokenId>> EncodeParts(std::string_view text,
                                                   std::span<const ByteRange> special) const override {
    return bytes_.EncodeParts(text, special);
  }
  std::string_view TokenBytes(TokenId id, bool show_special) const override {
    return id < kFirst ? bytes_.TokenBytes(id, show_special) : std::string_view(*texts_[id - kFirst]);
  }
  std::string Decode(std::span<const TokenId> ids, bool show_special) const override {
    std::string bytes, text;
    for (const TokenId id : ids) bytes += TokenBytes(id, show_special);
    AppendUtf8Lossy(bytes, &text);
    return text;
  }
  std::optional<TokenId> TokenToId(std::string_view token) const override { return bytes_.TokenToId(token); }
  bool IsSpecial(TokenId id) const override { return id < kFirst && bytes_.IsSpecial(id); }
  int32_t vocab_size() const override { return kFirst + static_cast<int32_t>(texts_.size()); }

 private:
  ByteTokenizer bytes_;
  std::map<std::string, TokenId> ids_;
  std::vector<const std::string*> texts_;
};

// What a client must see of a reply, and the reply.
struct KnownReply {
  ReplyFormat format;
  ReasoningStart start = ReasoningStart::kOpenByPrompt;
  std::string text;  // with the texts of control tokens
  std::string reasoning, content;
  std::vector<std::pair<std::string, std::string>> calls;  // name, arguments
  // The order of the visible parts: 'r', 'c', and 't' for each call.
  std::string order;
};

// The tokens of a reply: its control tokens, and the text between them in tokens of `next_size()` bytes each.
template <typename NextSize>
std::vector<TokenId> CutReply(std::string_view text, CutTokenizer& tokenizer, NextSize next_size) {
  std::vector<TokenId> ids;
  std::string plain;
  const auto flush = [&] {
    for (size_t at = 0; at < plain.size();) {
      const size_t size = std::min(plain.size() - at, static_cast<size_t>(next_size()));
      ids.push_back(tokenizer.IdOf(plain.substr(at, size)));
      at += size;
    }
    plain.clear();
  };
  const std::vector<TokenId> bytes = *tokenizer.Encode(text, /*allow_special=*/true);
  for (const TokenId id : bytes) {
    if (id < 256) {
      plain += static_cast<char>(id);
    } else {
      flush();
      ids.push_back(id);
    }
  }
  flush();
  return ids;
}

class ReplyGenerator {
 public:
  explicit ReplyGenerator(uint32_t seed) : random_(seed) {}

  size_t Below(size_t end) { return std::uniform_int_distribution<size_t>(0, end - 1)(random_); }
  bool Often() { return Below(4) != 0; }

  // A whole reply: reasoning, content, and tool calls, of which some cannot be read.
  KnownReply Reply(ToolCallForm form) {
    KnownReply reply{.format = FormatOf(form)};
    if (Often()) {
      reply.reasoning = Words() + (Often() ? "" : "\n");
      reply.text = reply.reasoning + (reply.reasoning.ends_with('\n') || Often() ? "\n" : "") + "</think>";
      if (Often()) reply.text += "\n\n";
      if (reply.text.ends_with("</think>") && Often()) reply.text += "\n";
    } else {
      reply.start = ReasoningStart::kMayOpen;
    }
    for (size_t parts = Below(4); parts > 0; --parts) AddContent(reply, Words() + ".");
    if (form == ToolCallForm::kNone) return reply;
    for (size_t parts = Below(3); parts > 0; --parts) {
      form == ToolCallForm::kHermes ? AddHermesCall(reply) : AddCallList(reply, form);
      if (Often()) AddContent(reply, Words() + ".");
    }
    return reply;
  }

  // The reply's tokens: control tokens, and the text between them cut anywhere, even inside characters.
  std::vector<TokenId> Cut(std::string_view text, CutTokenizer& tokenizer) {
    const size_t longest = 1 + Below(12);
    return CutReply(text, tokenizer, [&] { return 1 + Below(longest); });
  }

  // Words with line breaks between them, brackets, quotes, and characters of several bytes.
  std::string Words() {
    static constexpr std::string_view kWords[] = {"so",     "Köln", "€",     "🌍",    "{",    "\"}", "a b",
                                                  "x\n\ny", "```",  "<tool", "</th", "STOP", "\\",  "two\n"};
    std::string text = "w";
    for (size_t n = Below(6); n > 0; --n) text += " " + std::string(kWords[Below(std::size(kWords))]);
    while (text.back() == '\n' || text.back() == ' ') text.pop_back();
    return text;
  }

 private:
  static void AddContent(KnownReply& reply, const std::string& text) {
    reply.text += text;
    reply.content += text;
    if (!reply.order.ends_with('c')) reply.order += 'c';
  }

  static void AddCall(KnownReply& reply, const std::string& name, const std::string& arguments) {
    reply.calls.emplace_back(name, arguments);
    reply.order += 't';
  }

  std::string Name() { return std::string("get_") + static_cast<char>('a' + Below(26)); }

  std::string Arguments() {
    static constexpr std::string_view kValues[] = {
        "1", "\"a}b\"", "[1, {\"k\": null}]", "{\"q\": \"\\\"```\\n\"}", "\"</tool_call> Köln\"", "\"🌍\""};
    std::string text = "{";
    for (size_t n = Below(3); n > 0; --n) {
      if (text.size() > 1) text += ",\n ";
      text += "\"p" + std::to_string(n) + "\": " + std::string(kValues[Below(std::size(kValues))]);
    }
    return text + "}";
  }

  void AddHermesCall(KnownReply& reply) {
    if (!Often()) {
      static constexpr std::string_view kUnreadable[] = {
          "<tool_call>f(x)</tool_call>", "<tool_call>{\"x\": 1}</tool_call>", "<tool_call>[]</tool_call>",
          "<tool_call>{\"name\": 7}</tool_call>"};
      return AddContent(reply, std::string(kUnreadable[Below(std::size(kUnreadable))]));
    }
    const std::string name = Name(), arguments = Arguments();
    const std::string blank = Often() ? "\n" : "";
    const bool name_first = Often();
    const std::string first = "\"name\": \"" + name + "\"", second = "\"arguments\": " + arguments;
    reply.text += "<tool_call>" + blank + "{" + (name_first ? first : second) + ", " +
                  (name_first ? second : first) + "}" + blank + "</tool_call>";
    AddCall(reply, name, arguments);
  }

  void AddCallList(KnownReply& reply, ToolCallForm form) {
    reply.text += "<｜tool▁calls▁begin｜>";
    for (size_t calls = 1 + Below(3); calls > 0; --calls) {
      const std::string name = Name(), arguments = Arguments();
      reply.text +=
          form == ToolCallForm::kDeepSeekR1
              ? "<｜tool▁call▁begin｜>function<｜tool▁sep｜>" + name + "\n```json\n" + arguments + "\n```"
              : "<｜tool▁call▁begin｜>" + name + "<｜tool▁sep｜>" + arguments;
      reply.text += "<｜tool▁call▁end｜>";
      AddCall(reply, name, arguments);
      if (!Often()) {  // a call without a name
        AddContent(reply, "<｜tool▁call▁begin｜>" +
                              std::string(form == ToolCallForm::kDeepSeekR1 ? "function" : "") +
                              "<｜tool▁sep｜>\n{}<｜tool▁call▁end｜>");
      }
    }
    reply.text += "<｜tool▁calls▁end｜>";
  }

  std::mt19937 random_;
};

// The parts of an answer, joined.
struct JoinedParts {
  std::string reasoning, content;
  std::vector<std::pair<std::string, std::string>> calls;
  std::string order;

  void Add(const TextDelta& delta) {
    reasoning += delta.reasoning;
    content += delta.content;
    if (!delta.content.empty() && !order.ends_with('c')) order += 'c';
    for (const ToolCallDelta& call : delta.tool_calls) {
      if (!call.name.empty()) {
        calls.emplace_back(call.name, "");
        order += 't';
      }
      if (call.call + 1 != static_cast<int32_t>(calls.size())) {
        order += '?';  // not the last call
        continue;
      }
      calls.back().second += call.arguments;
    }
  }
  bool operator==(const JoinedParts&) const = default;
  friend void PrintTo(const JoinedParts& parts, std::ostream* out) {
    *out << "\nreasoning: " << parts.reasoning << "\ncontent: " << parts.content
         << "\norder: " << parts.order;
    for (const auto& [name, arguments] : parts.calls) *out << "\n" << name << ": " << arguments;
  }
};

// The deltas that a client gets: those of each token, and last those of the end.
inline std::vector<std::vector<TextDelta>> DeltasOf(SequenceText& text, const std::vector<TokenId>& ids,
                                                    bool logprobs = false) {
  std::vector<std::vector<TextDelta>> deltas;
  for (const TokenId id : ids) {
    if (text.stopped()) break;
    std::optional<model::PositionLogprobs> position;
    if (logprobs) position = model::PositionLogprobs{.chosen = {.token = id, .logprob = -1}};
    text.Append(id, std::move(position));
    deltas.push_back(text.Take());
  }
  text.Finish();
  deltas.push_back(text.Take());
  return deltas;
}

}  // namespace deeprack::coordinator
