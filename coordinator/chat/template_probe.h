// Finds out what a chat template does by rendering short conversations.
#pragma once

#include <string>

#include "coordinator/chat/chat_variables.h"
#include "coordinator/chat/jinja/template.h"

namespace deeprack::coordinator {

// The text of the prompt; empty if the template cannot render it.
std::string ProbeText(const jinja::Template& chat_template, const ChatPrompt& prompt,
                      const SpecialTokens& special_tokens, CallArguments arguments);

// kObject if the template writes an object's arguments as JSON or one by one; kText if only JSON text works.
CallArguments FindCallArguments(const jinja::Template& chat_template, const SpecialTokens& special_tokens);

// The parts of R1's published template that the corrected form keeps.
struct R1Faults {
  bool found = false;            // the template drops markers in a second round of tools, as R1's first does
  std::string think_opening;     // what follows <｜Assistant｜> in a generation prompt
  std::string output_separator;  // what stands between two outputs
};

// `text` is the template's Jinja text.
R1Faults FindR1Faults(std::string_view text, const jinja::Template& chat_template,
                      const SpecialTokens& special_tokens);

}  // namespace deeprack::coordinator
