// Finds a model's chat template in the files of its folder or in its GGUF.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "coordinator/chat/chat_variables.h"
#include "model/gguf/gguf_model.h"

namespace deeprack::coordinator {

struct ChatTemplateText {
  std::string text;        // Jinja; empty: the model has no template
  std::string with_tools;  // the template for prompts with tools; empty: `text`, too
  std::string origin;      // the file's name, for messages
  SpecialTokens special_tokens;
  bool chosen_by_user = false;  // by --chat-template: rendered as it is, whatever its faults
};

// `tokenizer_config` and `chat_template_jinja` are the texts of tokenizer_config.json and
// chat_template.jinja; empty if the model has no such file. chat_template.jinja comes first. Errors:
// InvalidArgument for a tokenizer_config that is no JSON object or whose chat_template is neither a text nor
// a list of named texts.
absl::StatusOr<ChatTemplateText> FindChatTemplate(std::string_view tokenizer_config,
                                                  std::string_view chat_template_jinja);

// The template and special tokens of a GGUF: tokenizer.chat_template, and tokenizer.chat_template.tool_use
// for prompts with tools.
ChatTemplateText FindChatTemplate(const model::GgufModel& gguf);

}  // namespace deeprack::coordinator
