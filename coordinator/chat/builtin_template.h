// DeepSeek R1's chat template in Jinja, without the faults of R1's published template:
// - Each list of calls and each list of outputs has its opening marker, in every round.
// - The content of a message with tool calls stays, and loses its reasoning.
// - An answer or call after outputs closes the list of outputs.
// The published template has no place for tools, so the system text ends with their descriptions.
#pragma once

#include <string_view>

namespace deeprack::coordinator {

// Beside the usual variables, the template reads `think_opening` (what follows <｜Assistant｜> in a
// generation prompt) and `output_separator` (what stands between two outputs of a list).
extern const std::string_view kBuiltinR1Template;

}  // namespace deeprack::coordinator
