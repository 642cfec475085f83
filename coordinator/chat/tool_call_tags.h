// The texts of tool calls in the form of a model's replies, as a constraint of the answer. Markers are
// tokens; the text between them has a function's name and arguments that its schema accepts.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "coordinator/chat/reply_format.h"

namespace deeprack::coordinator {

struct CallableFunction {
  std::string name;
  std::string parameters;  // a JSON schema of the arguments, an object
};

// Calls of `functions`, one or (with `many`) more, in the form of `format`, which has tool calls with markers
// that are tokens. As the text of model::ConstraintKind::kTags. `or_schema`: not empty: the answer is calls,
// or JSON that this schema accepts.
std::string ToolCallTags(const ReplyFormat& format, std::span<const CallableFunction> functions, bool many,
                         const std::string& or_schema = "");

// The same, as texts that stand anywhere in a free answer: any number of them, each begun by a token of
// CallBeginnings.
std::string RepeatedToolCallTags(const ReplyFormat& format, std::span<const CallableFunction> functions,
                                 bool many);

// The tokens with which calls begin.
std::vector<TokenId> CallBeginnings(const ReplyFormat& format);

// All markers of the form.
std::vector<TokenId> CallMarkers(const ReplyFormat& format);

// True if calls of this form can be a constraint.
bool HasCallTags(const ReplyFormat& format);

}  // namespace deeprack::coordinator
