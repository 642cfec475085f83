// Readers of fields that chats of several APIs have, each API under names of its own.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "coordinator/api/json_fields.h"

namespace deeprack::coordinator {

// Sets the switch of a template's reasoning in the template's `variables`. Templates know the switch by two
// names; a template without a switch ignores the variables.
void SwitchThinking(Json& variables, bool on);

// Reads the field `name`, a level of effort, into the variable `reasoning_effort`; "none" also switches
// thinking off. An absent field changes nothing.
void ReadReasoningEffort(JsonFields& fields, std::string_view name, Json& variables);

}  // namespace deeprack::coordinator
