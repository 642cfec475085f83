#include "coordinator/api/sequence_text.h"

#include <utility>

namespace deeprack::coordinator {
namespace {

ReasoningSplitter MakeSplitter(const TextOptions& options) {
  if (!options.chat) return ReasoningSplitter(std::nullopt, std::nullopt, false);
  return ReasoningSplitter(options.chat->think_begin, options.chat->think_end, options.in_reasoning);
}

}  // namespace

SequenceText::SequenceText(const Tokenizer* tokenizer, const TextOptions& options)
    : detokenizer_(tokenizer, options.show_special),
      stop_(options.stop, options.include_stop),
      splitter_(MakeSplitter(options)),
      unstoppable_tokens_(options.min_tokens) {
  if (options.chat && options.parse_tool_calls) tools_.emplace(*options.chat);
}

TextDelta SequenceText::Append(TokenId id) {
  TextDelta delta;
  if (stopped()) return delta;
  const bool tag = splitter_.IsTag(id);
  const bool marker = tools_ && !splitter_.in_reasoning() && tools_->IsMarker(id);
  if (tag || marker) Drain(delta);  // the text held back belongs to the part that ends here
  splitter_.OnToken(id);
  if (marker) {
    tools_->OnMarker(id);
    if (std::optional<ToolCall> call = tools_->TakeCall()) {
      delta.tool_calls.push_back(
          {.call = calls_++, .name = std::move(call->name), .arguments = std::move(call->arguments)});
    }
  }
  const bool unstoppable = unstoppable_tokens_ > 0;
  if (unstoppable) --unstoppable_tokens_;
  if (tag || marker) return delta;
  const std::string text = detokenizer_.Append(id);
  Give(unstoppable ? text : stop_.Append(text), delta);
  return delta;
}

TextDelta SequenceText::Finish() {
  TextDelta delta;
  Drain(delta);
  return delta;
}

void SequenceText::Drain(TextDelta& delta) {
  const std::string rest = stop_.Append(detokenizer_.Finish());
  Give(rest + stop_.Flush(), delta);
}

void SequenceText::Give(std::string_view text, TextDelta& delta) {
  if (text.empty()) return;
  if (tools_ && !splitter_.in_reasoning() && tools_->Consume(text)) return;
  (splitter_.in_reasoning() ? delta.reasoning : delta.content) += splitter_.Filter(text);
}

}  // namespace deeprack::coordinator
