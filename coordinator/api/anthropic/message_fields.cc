#include "coordinator/api/anthropic/message_fields.h"

#include "coordinator/api/field_entries.h"

namespace deeprack::coordinator::anthropic {
namespace {

using View = std::string_view;

// Notes and reasons that several fields share.
constexpr View kCached = "every prefix is cached";
constexpr View kNoConversations = "the server keeps no conversations";
constexpr View kToolsets = "toolsets are Anthropic's";

constexpr RequestField kPromptFields[] = {
    kModelField,
    Honoured("messages", "array of objects", "required", "1 to 100000 messages"),
    Honoured("system", "string or array of text blocks", "none", "at most 4096 blocks"),
    Honoured("tools", "array of objects", "none", "at most 1024"),
    Honoured("tool_choice", "object", "`{\"type\": \"auto\"}`"),
    Honoured("thinking", "object", "the template's own choice"),
    Honoured("output_config", "object", "none"),
    Honoured("context_management", "object", "none"),
    Label("cache_control", kCached),
    Label("user_profile_id"),
    Label("anthropic_version"),
    Label("anthropic_beta"),
    Refused("speed", "there is one speed", "\"standard\""),
    Honoured("output_format", "object", "none", "", "the older name of `output_config.format`"),
    Refused("mcp_servers", "the server calls no tools", "[]"),
};

constexpr RequestField kCreateFields[] = {
    Honoured("max_tokens", "integer", "required", "at least 0", "cut to the rest of the context"),
    Honoured("stop_sequences", "array of strings", "none", "at most 16 strings of 1 to 256 bytes"),
    kTemperatureField,
    kTopPField,
    kTopKField,
    Honoured("stream", "boolean", "false"),
    Label("metadata"),
    Label("service_tier", "there is one tier"),
    Label("inference_geo"),
    Label("diagnostics"),
    Label("billing_policy"),
    Refused("container", "the server runs no code"),
    Refused("compaction", kNoConversations),
    Refused("thread", kNoConversations),
};

constexpr RequestField kMessageFields[] = {
    Honoured("role", "string", "required", "`user`, `assistant`, `system`"),
    Honoured("content", "string or array of blocks", "required", "at most 4096 blocks"),
};

constexpr RequestField kTextFields[] = {
    Honoured("type", "string", "required", "`text`"),
    Honoured("text", "string", "required", "", "special tokens in the text stay text"),
    Label("cache_control", kCached),
    Label("citations"),
};

constexpr RequestField kThinkingBlockFields[] = {
    Honoured("type", "string", "required", "`thinking`"),
    Honoured("thinking", "string", "required", "",
             "the template keeps or drops past thoughts by its own rule"),
    Label("signature", "signatures are not checked"),
    Label("cache_control", kCached),
};

constexpr RequestField kRedactedThinkingFields[] = {
    Honoured("type", "string", "required", "`redacted_thinking`"),
    Label("data", "the block has no text for this model"),
};

constexpr RequestField kToolUseFields[] = {
    Honoured("type", "string", "required", "`tool_use`"),
    Honoured("id", "string", "required"),
    Honoured("name", "string", "required", "not empty"),
    Honoured("input", "object", "`{}`"),
    Label("cache_control", kCached),
    Label("caller"),
    Refused("toolset_name", kToolsets),
};

constexpr RequestField kToolResultFields[] = {
    Honoured("type", "string", "required", "`tool_result`"),
    Honoured("tool_use_id", "string", "required"),
    Honoured("content", "string or array of blocks", "empty",
             "blocks of the types `text` and `tool_reference`"),
    Honoured("is_error", "boolean", "false", "", "`Error: ` stands before the content"),
    Label("cache_control", kCached),
    Refused("toolset_name", kToolsets),
};

constexpr RequestField kToolReferenceFields[] = {
    Honoured("type", "string", "required", "`tool_reference`"),
    Honoured("tool_name", "string", "required", "", "the name is the text of the result"),
    Label("cache_control", kCached),
};

constexpr RequestField kToolFields[] = {
    Honoured("type", "string", "`custom`", "`custom`",
             "tools of Anthropic's, such as `web_search_20250305`, are refused"),
    Honoured("name", "string", "required", "not empty"),
    Honoured("description", "string", "none"),
    Honoured("input_schema", "object", "required"),
    Label("cache_control", kCached),
    Honoured("strict", "boolean", "false", "", "true: the arguments keep to `input_schema`"),
    Label("defer_loading", "the prompt describes every tool"),
    Label("eager_input_streaming", "arguments come as they are written"),
    Label("input_examples"),
    Label("allowed_callers"),
};

constexpr RequestField kToolChoiceFields[] = {
    Honoured("type", "string", "required", "`auto`, `any`, `tool`, `none`",
             "`any` and `tool`: the answer is a call; OpenAI's `required` and a name"),
    Honoured("name", "string", "none", "", "with `tool`"),
    Honoured("disable_parallel_tool_use", "boolean", "false", "",
             "true: the answer ends after its first call"),
};

constexpr RequestField kThinkingFields[] = {
    Honoured("type", "string", "required", "`enabled`, `disabled`, `adaptive`, `between_tools`",
             "where the model's template has a variable `thinking` or `enable_thinking`: `disabled` makes it "
             "false, the others true"),
    Label("budget_tokens", "bound the answer with `max_tokens`"),
    Label("display", "thoughts are always shown"),
};

constexpr RequestField kOutputConfigFields[] = {
    Honoured("effort", "string", "none", "", "where the model's template has a variable `reasoning_effort`"),
    Honoured("format", "object", "none", "", "see [below](#fields-of-output_configformat)"),
    Label("task_budget", "bound the answer with `max_tokens`"),
};

constexpr RequestField kOutputFormatFields[] = {
    Honoured("type", "string", "required", "`json_schema`", "any other value is refused"),
    Honoured("schema", "object", "none", "256 KiB, 64 levels", "the text is JSON that the schema accepts"),
};

constexpr RequestField kContextManagementFields[] = {
    Honoured("edits", "array of objects", "none", "at most 64, of types `clear_thinking_...`",
             "the template keeps or drops past thoughts by its own rule"),
};

constexpr FieldTable kPromptTable = {"Fields of both Messages endpoints", kPromptFields};
constexpr FieldTable kCreateTable = {"Fields of /v1/messages alone", kCreateFields};
constexpr FieldTable kMessageTable = {"Fields of a message in /v1/messages", kMessageFields};
constexpr FieldTable kTextTable = {"Fields of a text block", kTextFields};
constexpr FieldTable kThinkingBlockTable = {"Fields of a thinking block", kThinkingBlockFields};
constexpr FieldTable kRedactedThinkingTable = {"Fields of a redacted_thinking block",
                                               kRedactedThinkingFields};
constexpr FieldTable kToolUseTable = {"Fields of a tool_use block", kToolUseFields};
constexpr FieldTable kToolResultTable = {"Fields of a tool_result block", kToolResultFields};
constexpr FieldTable kToolReferenceTable = {"Fields of a tool_reference block", kToolReferenceFields};
constexpr FieldTable kToolTable = {"Fields of a tool in /v1/messages", kToolFields};
constexpr FieldTable kToolChoiceTable = {"Fields of tool_choice in /v1/messages", kToolChoiceFields};
constexpr FieldTable kThinkingTable = {"Fields of thinking in /v1/messages", kThinkingFields};
constexpr FieldTable kOutputFormatTable = {"Fields of output_config.format", kOutputFormatFields};
constexpr FieldTable kOutputConfigTable = {"Fields of output_config in /v1/messages", kOutputConfigFields};
constexpr FieldTable kContextManagementTable = {"Fields of context_management in /v1/messages",
                                                kContextManagementFields};

constexpr const FieldTable* kTables[] = {&kPromptTable,       &kCreateTable,        &kMessageTable,
                                         &kTextTable,         &kThinkingBlockTable, &kRedactedThinkingTable,
                                         &kToolUseTable,      &kToolResultTable,    &kToolReferenceTable,
                                         &kToolTable,         &kToolChoiceTable,    &kThinkingTable,
                                         &kOutputConfigTable, &kOutputFormatTable,  &kContextManagementTable};

}  // namespace

const RequestObject kMessagesRequest = {&kCreateTable, &kPromptTable};
const RequestObject kCountTokensRequest = {&kPromptTable};
// Clients send back whole messages, with the fields that their libraries add.
const RequestObject kMessage = {&kMessageTable, nullptr, /*unknown_are_labels=*/true};
const RequestObject kTextBlock = {&kTextTable, nullptr, /*unknown_are_labels=*/true};
const RequestObject kThinkingBlock = {&kThinkingBlockTable, nullptr, /*unknown_are_labels=*/true};
const RequestObject kRedactedThinkingBlock = {&kRedactedThinkingTable, nullptr, /*unknown_are_labels=*/true};
const RequestObject kToolUseBlock = {&kToolUseTable, nullptr, /*unknown_are_labels=*/true};
const RequestObject kToolResultBlock = {&kToolResultTable, nullptr, /*unknown_are_labels=*/true};
const RequestObject kToolReferenceBlock = {&kToolReferenceTable, nullptr, /*unknown_are_labels=*/true};
const RequestObject kTool = {&kToolTable};
const RequestObject kToolChoice = {&kToolChoiceTable};
const RequestObject kThinking = {&kThinkingTable};
const RequestObject kOutputConfig = {&kOutputConfigTable};
const RequestObject kOutputFormat = {&kOutputFormatTable};
const RequestObject kContextManagement = {&kContextManagementTable};

std::span<const FieldTable* const> MessageFieldTables() { return kTables; }

}  // namespace deeprack::coordinator::anthropic
