#include "coordinator/api/request_fields.h"

#include <algorithm>

namespace deeprack::coordinator {
namespace {

constexpr FieldUse kAccepted = FieldUse::kAccepted;
constexpr FieldUse kRefused = FieldUse::kRefused;

constexpr RequestField kGeneration[] = {
    {"model"},
    {"temperature"},
    {"top_p"},
    {"top_k"},
    {"min_p"},
    {"presence_penalty"},
    {"frequency_penalty"},
    {"repetition_penalty"},
    {"logit_bias"},
    {"stream"},
    {"stream_options"},
    {"n"},
    {"seed"},
    {"max_tokens"},
    {"logprobs"},
    {"stop"},
    {"stop_token_ids"},
    {"include_stop_str_in_output"},
    {"skip_special_tokens"},
    {"ignore_eos"},
    {"return_token_ids"},
    {"return_tokens_as_token_ids"},
    {"cache_salt"},
    {"user", kAccepted},
    {"best_of", kRefused, "ask for n answers instead"},
    {"min_tokens", kRefused, "not in this version"},
    {"service_tier", kRefused, "there is one tier", "\"auto\""},
    {"store", kRefused, "nothing is stored", "false"},
    {"metadata", kRefused, "nothing is stored"},
};

constexpr RequestField kChat[] = {
    {"messages"},
    {"tools"},
    {"tool_choice"},
    {"parallel_tool_calls", kRefused, "the model decides how many tools it calls", "true"},
    {"max_completion_tokens"},
    {"top_logprobs"},
    {"response_format"},
    {"reasoning_effort", kRefused, "R1 has one effort; bound it with max_tokens"},
    {"functions", kRefused, "use tools"},
    {"function_call", kRefused, "use tool_choice"},
    {"modalities", kRefused, "this model writes only text", R"(["text"])"},
};

constexpr RequestField kCompletion[] = {
    {"prompt"},
    {"echo"},
    {"add_special_tokens"},
    {"suffix", kRefused, "fill-in-the-middle is not in this version"},
};

constexpr RequestField kAnyMessageFields[] = {
    {"role"},
    {"content"},
    {"name", kRefused, "R1's template has no place for names"},
};

constexpr RequestField kAssistantFields[] = {
    {"prefix"},
    {"tool_calls"},
    // Clients send whole answers back. R1's template leaves past reasoning out.
    {"reasoning_content", kAccepted},
    {"reasoning", kAccepted},
    {"refusal", kRefused, "R1's template has no place for refusals"},
    {"audio", kRefused, "this model reads and writes only text"},
    {"annotations", kRefused, "this model has none", "[]"},
    {"function_call", kRefused, "use tool_calls"},
};

constexpr RequestField kToolFields[] = {
    {"tool_call_id", kAccepted},  // R1's template puts tool outputs in the order of the messages
};

constexpr RequestField kContentPartFields[] = {{"type"}, {"text"}};

constexpr RequestField kToolCallFields[] = {
    {"id", kAccepted},
    {"type"},
    {"function"},
    {"index", kAccepted},  // streamed deltas have it, and some clients send deltas back unchanged
};

constexpr RequestField kToolCallFunctionFields[] = {{"name"}, {"arguments"}};
constexpr RequestField kStreamOptionsFields[] = {{"include_usage"}};
constexpr RequestField kResponseFormatFields[] = {{"type"}};
constexpr RequestField kTokenizeFields[] = {{"model"}, {"return_token_strs"}};
constexpr RequestField kTokenizeTextFields[] = {{"prompt"}, {"add_special_tokens"}};

constexpr RequestField kTokenizeChatFields[] = {
    {"messages"},
    {"tools"},
    {"tool_choice"},
    {"parallel_tool_calls", kRefused, "the model decides how many tools it calls", "true"},
    {"add_generation_prompt"},
};

constexpr RequestField kDetokenizeFields[] = {{"model"}, {"tokens"}};

constexpr FieldTable kGenerationTable = {"Fields of both generation endpoints", kGeneration};
constexpr FieldTable kChatTable = {"Fields of /v1/chat/completions alone", kChat};
constexpr FieldTable kCompletionTable = {"Fields of /v1/completions alone", kCompletion};
constexpr FieldTable kMessageTable = {"Fields of every message", kAnyMessageFields};
constexpr FieldTable kAssistantTable = {"Fields of assistant messages alone", kAssistantFields};
constexpr FieldTable kToolTable = {"Fields of tool messages alone", kToolFields};
constexpr FieldTable kContentPartTable = {"Fields of a content part", kContentPartFields};
constexpr FieldTable kToolCallTable = {"Fields of a tool call", kToolCallFields};
constexpr FieldTable kToolCallFunctionTable = {"Fields of a tool call's function", kToolCallFunctionFields};
constexpr FieldTable kStreamOptionsTable = {"Fields of stream_options", kStreamOptionsFields};
constexpr FieldTable kResponseFormatTable = {"Fields of response_format", kResponseFormatFields};
constexpr FieldTable kTokenizeTable = {"Fields of /tokenize", kTokenizeFields};
constexpr FieldTable kTokenizeTextTable = {"Fields of /tokenize for a text", kTokenizeTextFields};
constexpr FieldTable kTokenizeChatTable = {"Fields of /tokenize for a chat", kTokenizeChatFields};
constexpr FieldTable kDetokenizeTable = {"Fields of /detokenize", kDetokenizeFields};

constexpr const FieldTable* kTables[] = {
    &kGenerationTable,       &kChatTable,          &kCompletionTable,     &kMessageTable,
    &kAssistantTable,        &kToolTable,          &kContentPartTable,    &kToolCallTable,
    &kToolCallFunctionTable, &kStreamOptionsTable, &kResponseFormatTable, &kTokenizeTable,
    &kTokenizeTextTable,     &kTokenizeChatTable,  &kDetokenizeTable,
};

const RequestField* FindIn(const FieldTable* table, std::string_view name) {
  if (table == nullptr) return nullptr;
  const auto found = std::ranges::find(table->fields, name, &RequestField::name);
  return found == table->fields.end() ? nullptr : &*found;
}

}  // namespace

const RequestObject kChatRequest = {&kChatTable, &kGenerationTable};
const RequestObject kCompletionRequest = {&kCompletionTable, &kGenerationTable};
const RequestObject kTokenizeText = {&kTokenizeTextTable, &kTokenizeTable};
const RequestObject kTokenizeChat = {&kTokenizeChatTable, &kTokenizeTable};
const RequestObject kDetokenizeRequest = {&kDetokenizeTable};
const RequestObject kMessage = {&kMessageTable};
const RequestObject kAssistantMessage = {&kAssistantTable, &kMessageTable};
const RequestObject kToolMessage = {&kToolTable, &kMessageTable};
const RequestObject kContentPart = {&kContentPartTable};
const RequestObject kToolCall = {&kToolCallTable};
const RequestObject kToolCallFunction = {&kToolCallFunctionTable};
const RequestObject kStreamOptions = {&kStreamOptionsTable};
const RequestObject kResponseFormat = {&kResponseFormatTable};

const RequestField* RequestObject::Find(std::string_view name) const {
  const RequestField* field = FindIn(own, name);
  return field != nullptr ? field : FindIn(shared, name);
}

std::span<const FieldTable* const> AllFieldTables() { return kTables; }

}  // namespace deeprack::coordinator
