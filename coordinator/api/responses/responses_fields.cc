#include "coordinator/api/responses/responses_fields.h"

#include "coordinator/api/field_entries.h"

namespace deeprack::coordinator {
namespace {

using View = std::string_view;

// Notes and reasons that several fields share.
constexpr View kRepeated = "the response repeats it";
constexpr View kWaits = "a response is made while its client waits";
constexpr View kNoTokenIds = "a response has no place for token ids";
constexpr View kNoNamespaces = "tools have no namespaces here";
constexpr View kOneByOne = "tools run between two requests";
constexpr View kItemId = "a new id";
constexpr View kStatuses = "`in_progress`, `completed`, `incomplete`";

constexpr RequestField kRequest[] = {
    Honoured("input", "string or array of items", "required", "at most 4096 items",
             "a string is a user's message; see the items below"),
    Honoured("instructions", "string", "none", "",
             "a system message before the conversation; a later response does not inherit it"),
    Honoured("previous_response_id", "string", "none", "a stored response",
             "its input and output stand before `input`"),
    Honoured("store", "boolean", "true", "", "see [stored responses](#stored-responses)"),
    Honoured("max_output_tokens", "integer", "the rest of the context", "at least 1",
             "reasoning and tool calls count; cut to the rest of the context"),
    Honoured("tools", "array of objects", "none", "at most 128",
             "see [below](#fields-of-a-tool-of-v1responses)"),
    Honoured("tool_choice", "string or object", "`\"auto\"`",
             "`\"auto\"`, `\"none\"`, `\"required\"`, `{\"type\": \"function\", \"name\": ...}`",
             "`required` and a name: the answer is a call"),
    Honoured("parallel_tool_calls", "boolean", "true", "",
             "false: the answer ends after its first tool call"),
    Honoured("reasoning", "object", "none", "", "see [below](#fields-of-reasoning)"),
    Honoured("text", "object", "none", "", "see [below](#fields-of-text)"),
    Honoured(
        "include", "array of strings", "none", "at most 16",
        "`message.output_text.logprobs` gives log-probabilities; OpenAI's other values ask for nothing here: "
        "reasoning items have their text in `content`, and no item is encrypted"),
    Honoured("top_logprobs", "integer", "0", "0 to `--max-logprobs` (20)",
             "with `include: [\"message.output_text.logprobs\"]`"),

    Refused("prompt_logprobs", "a response has no place for the log-probabilities of its prompt"),

    TypedLabel("metadata", "object", "the response repeats it: at most 16 texts"),
    TypedLabel("safety_identifier", "string", kRepeated),
    TypedLabel("prompt_cache_key", "string", kRepeated),
    TypedLabel("prompt_cache_retention", "string", kRepeated),
    TypedLabel("prompt_cache_options", "object", "pages stay as long as there is room"),
    TypedLabel("max_tool_calls", "integer", "counts calls of built-in tools, and there are none"),

    Refused("truncation", "a conversation beyond the context is an error", R"("disabled")"),
    Refused("background", kWaits, "false"),
    Refused("background_options", kWaits),
    Refused("conversation", "continue with previous_response_id"),
    Refused("prompt", "no prompt templates are stored here"),
    Refused("context_management", "the server shortens no conversation", "[]"),
    Refused("moderation", "the server has no moderation"),
    Refused("access_programs", "the server has none"),
    Refused("image", "this model reads and writes only text"),
    Refused("max_tokens", "use max_output_tokens"),
    Refused("logprobs", R"(use include: ["message.output_text.logprobs"])", "false"),
    Refused("n", "a response has one answer", "1"),
    Refused("timings_per_token", "a response has no place for them", "false"),
    Refused("return_token_ids", kNoTokenIds, "false"),
    Refused("return_tokens_as_token_ids", kNoTokenIds, "false"),
};

constexpr RequestField kMessageFields[] = {
    Honoured("type", "string", "`message`", "`message`", "an object with a `role` needs no type"),
    Honoured("role", "string", "required", "`user`, `assistant`, `system`, `developer`",
             "`developer` means `system`"),
    Honoured("content", "string or array of parts", "required", "at most 1024 parts",
             "see [below](#fields-of-an-items-content-part)"),
    Honoured("id", "string", kItemId, "at most 256 bytes"),
    Honoured("status", "string", "`completed`", kStatuses, kRepeated),
};

constexpr RequestField kFunctionCallFields[] = {
    Honoured("type", "string", "required", "`function_call`"),
    Honoured("call_id", "string", "required", "", "the output of the call names it"),
    Honoured("name", "string", "required"),
    Honoured("arguments", "string", "required"),
    Honoured("id", "string", kItemId, "at most 256 bytes"),
    Honoured("status", "string", "`completed`", kStatuses, kRepeated),
    Refused("namespace", kNoNamespaces),
    Refused("async", kOneByOne, "false"),
};

constexpr RequestField kFunctionOutputFields[] = {
    Honoured("type", "string", "required", "`function_call_output`"),
    Honoured("call_id", "string", "required", "of a `function_call` before this item"),
    Honoured("output", "string or array of parts", "required", "at most 1024 parts"),
    Honoured("id", "string", kItemId, "at most 256 bytes"),
    Honoured("status", "string", "`completed`", kStatuses, kRepeated),
    Refused("namespace", kNoNamespaces),
};

constexpr RequestField kReasoningFields[] = {
    Honoured("type", "string", "required", "`reasoning`"),
    Honoured("summary", "array of parts", "none", "at most 1024 parts", "taken if `content` has no text"),
    Honoured("content", "array of parts", "none", "at most 1024 parts",
             "the template decides which past reasoning the model sees"),
    Honoured("id", "string", kItemId, "at most 256 bytes"),
    Honoured("status", "string", "`completed`", kStatuses, kRepeated),
    Refused("encrypted_content", "the server cannot read it; send the item's content", R"("")"),
};

constexpr RequestField kReferenceFields[] = {
    Honoured("type", "string", "`item_reference`", "`item_reference`",
             "an object with an `id` and no `role` needs no type"),
    Honoured("id", "string", "required", "of an item of a stored response"),
};

constexpr RequestField kPartFields[] = {
    Honoured(
        "type", "string", "required",
        "`input_text`, `output_text`, `text`, `reasoning_text`, `summary_text`; an assistant's: `refusal`",
        "any other value is refused"),
    Honoured("text", "string", "required, except in a refusal"),
    Honoured("refusal", "string", "required in a refusal"),
};

constexpr RequestField kToolFields[] = {
    Honoured("type", "string", "required", "`function`", "any other value is refused by its name"),
    Honoured("name", "string", "required"),
    Honoured("description", "string"),
    Honoured("parameters", "object"),
    Honoured("strict", "boolean", "false", "", "true: the arguments keep to `parameters`"),
    TypedLabel("output_schema", "any"),
    Refused("allowed_callers", "only the model calls tools", R"(["direct"])"),
    Refused("async", kOneByOne, "false"),
    Refused("defer_loading", "every tool is part of the prompt", "false"),
};

constexpr RequestField kReasoningOptionFields[] = {
    Honoured("effort", "string", "none", "`none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`",
             "as `reasoning_effort` of a chat"),
    TypedLabel("summary", "string", "the whole reasoning is in the item"),
    TypedLabel("generate_summary", "string", "the older name of `summary`"),
    Refused("context", "the chat template decides which past reasoning the model sees", R"("auto")"),
    Refused("mode", "the server has one", R"("standard")"),
};

constexpr RequestField kTextOptionFields[] = {
    Honoured("format", "object", "none", "", "see [below](#fields-of-textformat)"),
    TypedLabel("verbosity", "string", kRepeated),
};

constexpr RequestField kTextFormatFields[] = {
    Honoured("type", "string", "required", "`text`, `json_object`, `json_schema`",
             "any other value is refused"),
    Honoured("schema", "object", "none", "256 KiB, 64 levels", "with `json_schema`"),
    Label("name"),
    Label("description"),
    Label("strict", "every answer keeps to its schema"),
};

constexpr FieldTable kRequestTable = {"Fields of /v1/responses alone", kRequest};
constexpr FieldTable kMessageTable = {"Fields of a message item", kMessageFields};
constexpr FieldTable kFunctionCallTable = {"Fields of a function_call item", kFunctionCallFields};
constexpr FieldTable kFunctionOutputTable = {"Fields of a function_call_output item", kFunctionOutputFields};
constexpr FieldTable kReasoningTable = {"Fields of a reasoning item", kReasoningFields};
constexpr FieldTable kReferenceTable = {"Fields of an item_reference", kReferenceFields};
constexpr FieldTable kPartTable = {"Fields of an item's content part", kPartFields};
constexpr FieldTable kToolTable = {"Fields of a tool of /v1/responses", kToolFields};
constexpr FieldTable kReasoningOptionTable = {"Fields of reasoning", kReasoningOptionFields};
constexpr FieldTable kTextOptionTable = {"Fields of text", kTextOptionFields};
constexpr FieldTable kTextFormatTable = {"Fields of text.format", kTextFormatFields};

constexpr const FieldTable* kTables[] = {
    &kRequestTable,         &kMessageTable,    &kFunctionCallTable, &kFunctionOutputTable,
    &kReasoningTable,       &kReferenceTable,  &kPartTable,         &kToolTable,
    &kReasoningOptionTable, &kTextOptionTable, &kTextFormatTable,
};

}  // namespace

// A field of the other generation endpoints means the same here, unless the own table has it.
const RequestObject kResponsesRequest = {&kRequestTable, kChatRequest.shared};
// Clients send items back with fields that some server or library added.
const RequestObject kMessageItem = {.own = &kMessageTable, .unknown_are_labels = true};
const RequestObject kFunctionCallItem = {.own = &kFunctionCallTable, .unknown_are_labels = true};
const RequestObject kFunctionOutputItem = {.own = &kFunctionOutputTable, .unknown_are_labels = true};
const RequestObject kReasoningItem = {.own = &kReasoningTable, .unknown_are_labels = true};
const RequestObject kItemReference = {.own = &kReferenceTable, .unknown_are_labels = true};
const RequestObject kTextPart = {.own = &kPartTable, .unknown_are_labels = true};
const RequestObject kFunctionTool = {&kToolTable};
const RequestObject kReasoningOptions = {&kReasoningOptionTable};
const RequestObject kTextOptions = {&kTextOptionTable};
const RequestObject kTextFormat = {&kTextFormatTable};

std::span<const FieldTable* const> ResponsesFieldTables() { return kTables; }

}  // namespace deeprack::coordinator
