// A model's chat template: messages in, token ids out. The template's Jinja text renders the messages, and
// the rendered text is encoded at once. Special tokens are recognised only where the text comes from the
// template, so a special token that a user types stays text.
//
// R1's first published template has faults in a second round of tools (builtin_template.h). Its corrected
// form takes its place, unless the user chose the template. A model without a template, but with R1's control
// tokens, is rendered with the corrected form, too.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "coordinator/chat/chat_prompt.h"
#include "coordinator/chat/chat_template_text.h"
#include "coordinator/chat/jinja/template.h"
#include "coordinator/chat/reply_format.h"
#include "coordinator/tokenizer/tokenizer.h"

namespace deeprack::coordinator {

struct RenderedChat {
  std::vector<TokenId> ids;
  ReasoningStart reasoning = ReasoningStart::kNone;  // how the reply begins
};

class ChatTemplate {
 public:
  // `tokenizer` outlives the template. Errors: InvalidArgument, with origin and line, for a text that is no
  // template; FailedPrecondition if there is no text and the vocabulary lacks R1's control tokens.
  static absl::StatusOr<ChatTemplate> Create(const Tokenizer* tokenizer, const ChatTemplateText& text);

  // The built-in template of R1. Errors: FailedPrecondition, with the name, if a token that every chat needs
  // is missing.
  static absl::StatusOr<ChatTemplate> Create(const Tokenizer* tokenizer);

  // `now` is what the template's strftime_now shows. Errors: InvalidArgument, with the message's index or the
  // template's line and the reason, if the messages cannot be rendered or exceed a limit of a rendering; the
  // errors of Tokenizer::Encode.
  absl::StatusOr<RenderedChat> Render(const ChatPrompt& prompt, absl::Time now = absl::Now()) const;

  // The text that Render encodes.
  absl::StatusOr<std::string> RenderText(const ChatPrompt& prompt, absl::Time now = absl::Now()) const;

  const ReplyFormat& reply_format() const { return reply_format_; }
  bool is_corrected() const { return is_corrected_; }  // the built-in form takes the published one's place
  const std::string& origin() const { return origin_; }

 private:
  struct Variant {
    jinja::Template program;
    CallArguments arguments = CallArguments::kObject;
    SpecialTokens variables;  // special tokens, and the variables of the built-in template
  };
  struct Rendering {
    jinja::Text text;
    ReasoningStart reasoning = ReasoningStart::kNone;
  };

  explicit ChatTemplate(const Tokenizer* tokenizer) : tokenizer_(tokenizer) {}

  static absl::StatusOr<Variant> MakeVariant(const std::string& text, const ChatTemplateText& found,
                                             bool* corrected);
  const Variant& VariantFor(const ChatPrompt& prompt) const;
  absl::StatusOr<jinja::Text> RenderMessages(const ChatPrompt& prompt, absl::Time now) const;
  absl::StatusOr<Rendering> RenderPrompt(const ChatPrompt& prompt, absl::Time now) const;
  absl::StatusOr<Rendering> ContinueContent(const ChatPrompt& prompt, absl::Time now) const;
  absl::StatusOr<Rendering> ContinueReasoning(const ChatPrompt& prompt, absl::Time now) const;
  // How a reply begins after the text.
  ReasoningStart StartAfter(const jinja::Text& text, const ChatPrompt& prompt, absl::Time now) const;

  const Tokenizer* tokenizer_;
  std::vector<Variant> variants_;  // [0] for all prompts; [1], if present, for prompts with tools
  ReplyFormat reply_format_;
  bool is_corrected_ = false;
  std::string origin_;
};

}  // namespace deeprack::coordinator
