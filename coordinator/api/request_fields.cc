#include "coordinator/api/request_fields.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "coordinator/api/field_entries.h"

namespace deeprack::coordinator {
namespace {

using View = std::string_view;

// Reasons that several fields share.
constexpr View kSamplers = "this server has no such sampler";
constexpr View kOnlyText = "this model reads and writes only text";
constexpr View kNotReported = "this server does not report it";
constexpr View kNoAdapters = "this server loads no adapters";
constexpr View kOneServer = "this server places requests by itself";
constexpr View kWithSampler = "part of a sampler that is off";
constexpr View kNotStored = "nothing is stored";
constexpr View kOldNames = "use structured_outputs";

constexpr RequestField kGeneration[] = {
    kModelField,
    kTemperatureField,
    kTopPField,
    kTopKField,
    Honoured("min_p", "number", "0", "0 to 1"),
    Honoured("presence_penalty", "number", "0", "-2 to 2"),
    Honoured("frequency_penalty", "number", "0", "-2 to 2"),
    Honoured("repetition_penalty", "number", "1", "0.01 to 10"),
    Honoured("logit_bias", "object, or array of pairs", "none",
             "at most 1024 token ids, each with -100 to 100, or false, as value",
             "`{\"5\": 1.5}` or `[[5, 1.5]]`; false: never"),
    Honoured("stream", "boolean", "false"),
    Honoured("stream_options", "object", "none", "only with `stream`",
             "see [below](#fields-of-stream_options)"),
    Honoured("n", "integer", "1", "1 to 32", "the number of answers to each prompt"),
    Honoured("best_of", "integer", "`n`", "`n`, or 1", "answers are drawn, not chosen: ask for `n` answers"),
    Honoured("seed", "integer", "random", "any 64-bit integer", "answer i draws with `seed` + i"),
    Honoured("max_tokens", "integer", "chat: the rest of the context; completions: 16",
             "chat: at least 1; completions: at least 0; or -1",
             "cut to the rest of the context, which -1 asks for"),
    Honoured("min_tokens", "integer", "0", "0 to `max_tokens`",
             "no end token, `stop_token_ids` or `stop` ends the answer before it has this many tokens"),
    Honoured("logprobs", "boolean or integer", "none", "0 to `--max-logprobs` (20)",
             "chat: true, with `top_logprobs` as the number; completions: the number; each takes the other's "
             "form"),
    Honoured("prompt_logprobs", "integer", "none", "0 to `--max-logprobs` (20)",
             "not with `stream`; see [below](#prompt_logprobs)"),
    Honoured("stop", "string or array of strings", "none", "at most 16 strings of 1 to 256 bytes"),
    Honoured("stop_token_ids", "array of token ids", "none", "at most 64"),
    Honoured("stop_in_reasoning", "boolean", "false", "",
             "stop strings are looked for in the reasoning, too"),
    Honoured("include_stop_str_in_output", "boolean", "false", "",
             "the stop string, or the stop token's text, stays in the text"),
    Honoured("no_stop_trim", "boolean", "false", "", "SGLang's name of `include_stop_str_in_output`"),
    Honoured("skip_special_tokens", "boolean", "true", "", "false: special tokens are part of the text"),
    Honoured("ignore_eos", "boolean", "false", "", "the answer goes on after an end token"),
    Honoured("return_token_ids", "boolean", "false"),
    Honoured("timings_per_token", "boolean", "false", "",
             "llama.cpp's `timings` in the answer, or in each event; see [below](#timings)"),
    Honoured("return_tokens_as_token_ids", "boolean", "false", "",
             "log-probabilities name tokens as `token_id:7`"),
    Honoured("structured_outputs", "object", "none", "",
             "vLLM's: the answer's form; see [below](#fields-of-structured_outputs)"),
    Honoured("cache_salt", "string", "empty", "at most 256 bytes",
             "only requests with the same salt share cached prefixes"),
    Honoured("priority", "integer", "0", "any 64-bit integer; 0 without `--scheduling-policy priority`",
             "the smaller number is served first; see [below](#priority)"),

    Label("user"),
    Label("metadata", kNotStored),
    Label("store", kNotStored),
    Label("service_tier", "there is one tier"),
    Label("prompt_cache_key", "every prompt is looked up in the prefix cache"),
    Label("prompt_cache_retention", "pages stay as long as there is room"),
    Label("prompt_cache_options", "every prompt is looked up in the prefix cache"),
    Label("safety_identifier"),
    Label("request_id"),
    Label("session_id"),
    Label("rid"),
    Label("custom_labels"),
    Label("cache_prompt", "prompts are cached whenever they can be"),
    Label("id_slot"),
    Label("n_keep", "no text is shifted out of the context"),
    Label("n_discard", "no text is shifted out of the context"),
    Label("n_cache_reuse"),
    Label("stream_interval", "events come as soon as their text is certain"),
    Label("spaces_between_special_tokens", "this tokenizer adds no spaces"),
    Label("truncation_side", "without `truncate_prompt_tokens`"),
    Label("mm_payload", kOnlyText),
    Label("mm_processor_kwargs", kOnlyText),
    Label("media_io_kwargs", kOnlyText),
    Label("images_config", kOnlyText),
    Label("backend_sampling"),
    Label("speculative.n_max"),
    Label("speculative.n_min"),
    Label("speculative.p_min"),
    Label("speculative.type"),
    Label("speculative.ngram_size_n"),
    Label("speculative.ngram_size_m"),
    Label("speculative.ngram_m_hits"),
    Label("dry_base", kWithSampler),
    Label("dry_allowed_length", kWithSampler),
    Label("dry_penalty_last_n", kWithSampler),
    Label("dry_sequence_breakers", kWithSampler),
    Label("dynatemp_exponent", kWithSampler),
    Label("mirostat_tau", kWithSampler),
    Label("mirostat_eta", kWithSampler),
    Label("xtc_threshold", kWithSampler),
    Label("repeat_last_n", kWithSampler),
    Label("min_keep", kWithSampler),
    Label("adaptive_decay", kWithSampler),
    Label("preserved_tokens", "part of a grammar"),

    Refused("use_beam_search", "answers are drawn, not searched", "false"),
    Refused("length_penalty", "answers are drawn, not searched", "1"),
    Refused("early_stopping", "answers are drawn, not searched", "false"),
    Refused("truncate_prompt_tokens", "cut the prompt before you send it"),
    Refused("logprob_token_ids", kNotReported, "[]"),
    Refused("allowed_token_ids", "use logit_bias"),
    Refused("bad_words", "use logit_bias", "[]"),
    Refused("bad_words_token_ids", "use logit_bias", "[]"),
    Refused("thinking_token_budget", "bound the answer with max_tokens", "-1"),
    Refused("guided_json", kOldNames),
    Refused("guided_regex", kOldNames, R"("")"),
    Refused("guided_choice", kOldNames, "[]"),
    Refused("guided_grammar", kOldNames, R"("")"),
    Refused("guided_decoding_backend", kOldNames),
    Refused("guided_whitespace_pattern", kOldNames),
    Refused("json_schema", kOldNames, R"("", {})"),
    Refused("grammar", kOldNames, R"("")"),
    Refused("grammar_lazy", kOldNames, "false"),
    Refused("grammar_triggers", kOldNames, "[]"),
    Refused("regex", kOldNames, R"("")"),
    Refused("ebnf", kOldNames, R"("")"),
    Refused("stop_regex", "use stop", R"("", [])"),
    Refused("repetition_detection", kSamplers),
    Refused("logits_processors", "this server runs no code of a request", "[]"),
    Refused("custom_logit_processor", "this server runs no code of a request"),
    Refused("custom_params", "this server runs no code of a request", "{}"),
    Refused("watermark", kSamplers),
    Refused("watermarking", kSamplers, "false"),
    Refused("repeat_penalty", "use repetition_penalty", "1"),
    Refused("typical_p", kSamplers, "1"),
    Refused("top_n_sigma", kSamplers, "-1, 0"),
    Refused("xtc_probability", kSamplers, "0"),
    Refused("dynatemp_range", kSamplers, "0"),
    Refused("dry_multiplier", kSamplers, "0"),
    Refused("mirostat", kSamplers, "0"),
    Refused("adaptive_target", kSamplers, "-1"),
    Refused("n_cmpl", "use n", "1"),
    Refused("samplers", "the order of sampling is fixed", "[]"),
    Refused("n_probs", "use logprobs", "0"),
    Refused("post_sampling_probs", "log-probabilities are the model's", "false"),
    Refused("t_max_predict_ms", "bound the answer with max_tokens", "0, -1"),
    Refused("n_indent", kSamplers, "0"),
    Refused("response_fields", "answers have all their fields", "[]"),
    Refused("return_tokens", "use return_token_ids", "false"),
    Refused("return_progress", kNotReported, "false"),
    Refused("return_hidden_states", kNotReported, "false"),
    Refused("return_routed_experts", kNotReported, "false"),
    Refused("routed_experts_start_len", kNotReported, "0"),
    Refused("routed_experts_prompt_start", kNotReported, "0"),
    Refused("return_cached_tokens_details", kNotReported, "false"),
    Refused("return_spec_tokens_details", kNotReported, "false"),
    Refused("return_token_offsets", kNotReported, "false"),
    Refused("return_mm_kwargs", kOnlyText, "false"),
    Refused("lora", kNoAdapters, "[]"),
    Refused("lora_path", kNoAdapters),
    Refused("session_params", "send the whole prompt"),
    Refused("extra_key", "use cache_salt"),
    Refused("data_parallel_rank", kOneServer, "-1"),
    Refused("routed_dp_rank", kOneServer),
    Refused("disagg_prefill_dp_rank", kOneServer),
    Refused("bootstrap_host", kOneServer),
    Refused("bootstrap_port", kOneServer),
    Refused("bootstrap_room", kOneServer),
    Refused("kv_transfer_params", kOneServer, "{}"),
    Refused("ec_transfer_params", kOneServer, "{}"),
    Refused("vllm_xargs", "this server has no extensions", "{}"),
};

constexpr RequestField kChat[] = {
    Honoured("messages", "array of objects", "required", "1 to 4096 messages",
             "see [below](#fields-of-every-message)"),
    Honoured(
        "tools", "array of objects", "none", "at most 128",
        R"(`{"type": "function", "function": {"name", ...}}`; the template describes them to the model)"),
    Honoured(
        "tool_choice", "string or object", "`\"auto\"`",
        "`\"auto\"`, `\"none\"`, `\"required\"`, `{\"type\": \"function\", \"function\": {\"name\": ...}}`",
        "`required` and a name: the answer is a call; see [below](#answers-of-a-given-form)"),
    Honoured("parallel_tool_calls", "boolean", "true", "",
             "false: the answer ends after its first tool call"),
    Honoured("max_completion_tokens", "integer", "as `max_tokens`", "at least 1, or -1",
             "stands over `max_tokens`"),
    Honoured("top_logprobs", "integer", "0", "0 to `--max-logprobs` (20)", "needs `logprobs`"),
    Honoured("response_format", "object", "none", "", "see [below](#fields-of-response_format)"),
    Honoured("reasoning_effort", "string", "none",
             "`none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`",
             "where the model's template has a variable `reasoning_effort`; `none` means `enable_thinking: "
             "false`"),
    Honoured("thinking", "object or boolean", "none", "", "see [below](#fields-of-thinking)"),
    Honoured("enable_thinking", "boolean", "none", "",
             "where the model's template has a variable `thinking` or `enable_thinking`"),
    Honoured("chat_template_kwargs", "object", "none", "at most 64 variables and 16384 bytes of JSON",
             "variables of the model's template"),
    Honoured("add_generation_prompt", "boolean", "true", "", "the prompt ends where the answer begins"),
    Honoured("continue_final_message", "boolean", "false", "",
             "the answer continues the last message, which is the assistant's, as with its `prefix`"),

    Honoured("include_reasoning", "boolean", "true", "",
             "false: the reasoning is made and counted, and is no part of the answer"),

    Honoured("echo", "boolean", "false", "",
             "the answer begins with the last message's content if that message is the assistant's"),

    Label("verbosity", "the model knows no verbosity"),
    Label("prediction", "the answer is the same without it"),
    Label("max_dynamic_patch", kOnlyText),
    Label("min_dynamic_patch", kOnlyText),
    Label("return_flat_raw_top_logprobs_b64"),

    Refused("functions", "use tools", "[]"),
    Refused("function_call", "use tool_choice", R"("auto", "none")"),
    Refused("modalities", "this model writes only text", R"(["text"], [])"),
    Refused("audio", kOnlyText),
    Refused("web_search_options", "this server searches nothing"),
    Refused("moderation", "this server judges no texts"),
    Refused("add_special_tokens", "the template has the special tokens", "false"),
    Refused("documents", "put them into messages", "[]"),
    Refused("chat_template", "start the server with another template"),
    Refused("separate_reasoning", "answers have their reasoning in a field of its own", "true"),
    Refused("stream_reasoning", "streams have their reasoning as it comes", "true"),
    Refused("reasoning_format", "answers have their reasoning in a field of its own",
            R"("auto", "deepseek")"),
    Refused("reasoning_in_content", "answers have their reasoning in a field of its own", "false"),
    Refused("thinking_forced_open", "the template opens the reasoning", "false"),
    Refused("parse_tool_calls", "answers have their tool calls in a field of its own", "true"),
    Refused("reasoning_budget", "bound the answer with max_tokens", "-1"),
    Refused("reasoning_budget_tokens", "bound the answer with max_tokens", "-1"),
    Refused("thinking_budget", "bound the answer with max_tokens", "-1"),
    Refused("input_ids", "/v1/completions takes token ids"),
    Refused("task", "this model has no tasks"),
    Refused("video_config", kOnlyText, "{}"),
    Refused("use_audio_in_video", kOnlyText, "false"),
    Refused("return_prompt_text", kNotReported, "false"),
    Refused("return_prompt_token_ids", "use return_token_ids", "false"),
    Refused("return_meta_info", kNotReported, "false"),
    Refused("return_input_ids_in_sglext", "use return_token_ids", "false"),
    Refused("return_output_ids_in_sglext", "use return_token_ids", "false"),
    Refused("return_sampling_mask", kNotReported, "false"),
    Refused("sampling_logprobs_mode", kNotReported),
    Refused("return_flat_raw_output_top_logprobs", kNotReported, "false"),
};

constexpr RequestField kCompletion[] = {
    Honoured("prompt", "string, array of strings, array of token ids, or array of such arrays", "required",
             "at most 128 prompts, none empty", "special tokens in a text count as special tokens"),
    Honoured("echo", "boolean", "false", "", "the prompt, and its log-probabilities, come before the answer"),
    Honoured("add_special_tokens", "boolean", "true", "", "a text begins with the model's begin token"),
    Honoured("n_predict", "integer", "as `max_tokens`", "at least 0, or -1",
             "llama.cpp's name of `max_tokens`, which stands over it"),

    Refused("suffix", "fill-in-the-middle is not in this version", R"("")"),
    Refused("prompt_embeds", "prompts are text or token ids"),
    Honoured("response_format", "object", "none", "", "see [below](#fields-of-response_format)"),
};

// Messages may have fields that no table has: clients send back what some server gave them.
constexpr RequestField kAnyMessageFields[] = {
    Honoured("role", "string", "required", "`system`, `developer`, `user`, `assistant`, `tool`, `function`",
             "`developer` means `system`, `function` means `tool`"),
    Honoured("content", "string or array of parts",
             "required, except in an assistant's message with tool calls, reasoning or refusal",
             "at most 1024 parts", "special tokens in the text stay text"),
    Honoured("name", "string", "none", "", "where the model's template has a place for names"),
    Label("id"),
    Label("status"),
    Label("phase"),
    Label("cache_control", "every prompt is looked up in the prefix cache"),
    Label("metadata"),
};

constexpr RequestField kAssistantFields[] = {
    Honoured(
        "prefix", "boolean", "false", "only in the last message",
        "the answer continues this text; with `reasoning_content` and no content, it continues that thought"),
    Honoured("tool_calls", "array of objects", "none", "at most 128"),
    Honoured("function_call", "object", "none", "", "one call, as `tool_calls[i].function`"),
    Honoured("reasoning_content", "string", "none", "", "where the model's template shows past reasoning"),
    Honoured("reasoning", "string", "none", "", "vLLM's name of `reasoning_content`, which stands over it"),
    Honoured("refusal", "string", "none", "", "stands for an absent `content`"),
    Label("annotations"),
    Label("reasoning_details"),
    Label("thinking_blocks"),
    Label("provider_specific_fields"),
    Refused("audio", kOnlyText),
};

constexpr RequestField kToolFields[] = {
    Honoured("tool_call_id", "string", "none", "", "where the model's template has a place for ids"),
};

constexpr RequestField kContentPartFields[] = {
    Honoured("type", "string", "required",
             "`text`, `input_text`, `output_text`, `refusal`, `thinking`, `reasoning`",
             "any other value is refused"),
    Honoured("text", "string", "required, except in parts of type `refusal` or `thinking`"),
    Honoured("refusal", "string", "none", "", "the text of a part of type `refusal`"),
    Honoured("thinking", "string", "none", "",
             "the text of a part of type `thinking`; it belongs to the reasoning"),
    Label("cache_control", "every prompt is looked up in the prefix cache"),
    Label("annotations"),
    Label("signature"),
};

constexpr RequestField kToolCallFields[] = {
    Honoured("id", "string", "none", "", "where the model's template has a place for ids"),
    Honoured("type", "string", "`function`"),
    Honoured("function", "object", "required"),
    Label("index", "streamed deltas have it, and some clients send deltas back unchanged"),
};

constexpr RequestField kToolCallFunctionFields[] = {
    Honoured("name", "string", "required"),
    Honoured("arguments", "string or object", "empty"),
};

constexpr RequestField kStreamOptionsFields[] = {
    Honoured("include_usage", "boolean", "false", "", "one more event has the usage"),
    Honoured("continuous_usage_stats", "boolean", "false", "only with `include_usage`",
             "each event has the usage so far"),
    Label("include_obfuscation", "events have no padding"),
};

constexpr RequestField kThinkingFields[] = {
    Honoured("type", "string", "required", "`enabled`, `disabled`, `auto`, `adaptive`",
             "as `enable_thinking`; `auto` and `adaptive` leave the choice to the template"),
    Label("budget_tokens", "bound the answer with `max_tokens`"),
};

constexpr RequestField kTokenizeFields[] = {
    kModelField,
    Honoured("return_token_strs", "boolean", "false"),
};

constexpr RequestField kTokenizeTextFields[] = {
    Honoured("prompt", "string", "required"),
    Honoured("add_special_tokens", "boolean", "true"),
};

// llama.cpp's names.
constexpr RequestField kTokenizeContentFields[] = {
    Honoured("content", "string", "required"),
    Honoured("add_special", "boolean", "false", "", "the ids begin with the model's begin token"),
    Honoured("parse_special", "boolean", "true", "", "special tokens in the text count as special tokens"),
    Honoured("with_pieces", "boolean", "false", "",
             "`tokens` has objects `{\"id\", \"piece\"}`; a piece that is not UTF-8 is an array of bytes"),
};

constexpr RequestField kTokenizeChatFields[] = {
    Honoured("messages", "array of objects", "required", "as in a chat"),
    Honoured("tools", "array of objects", "none", "at most 128"),
    Honoured("tool_choice", "string or object", "`\"auto\"`", "as in a chat"),
    Honoured("reasoning_effort", "string", "none", "as in a chat"),
    Honoured("thinking", "object or boolean", "none", "as in a chat"),
    Honoured("enable_thinking", "boolean", "none", "as in a chat"),
    Honoured("chat_template_kwargs", "object", "none", "as in a chat"),
    Honoured("add_generation_prompt", "boolean", "true", "", "the ids end where the answer begins"),
    Honoured("continue_final_message", "boolean", "false", "as in a chat"),
    Label("parallel_tool_calls"),
    Label("mm_processor_kwargs", kOnlyText),
    Label("media_io_kwargs", kOnlyText),
    Refused("add_special_tokens", "the template has the special tokens", "false"),
    Refused("chat_template", "start the server with another template"),
};

constexpr RequestField kDetokenizeFields[] = {
    kModelField,
    Honoured("tokens", "array of token ids", "required", "at most 1048576"),
    Honoured("skip_special_tokens", "boolean", "false", "", "true: special tokens are no part of the text"),
};

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
constexpr FieldTable kThinkingTable = {"Fields of thinking", kThinkingFields};
constexpr FieldTable kTokenizeTable = {"Fields of /tokenize", kTokenizeFields};
constexpr FieldTable kTokenizeTextTable = {"Fields of /tokenize for a text", kTokenizeTextFields};
constexpr FieldTable kTokenizeContentTable = {"Fields of /tokenize for a text, as llama.cpp names them",
                                              kTokenizeContentFields};
constexpr FieldTable kTokenizeChatTable = {"Fields of /tokenize for a chat", kTokenizeChatFields};
constexpr FieldTable kDetokenizeTable = {"Fields of /detokenize", kDetokenizeFields};

constexpr const FieldTable* kTables[] = {
    &kGenerationTable, &kChatTable,        &kCompletionTable,   &kMessageTable,          &kAssistantTable,
    &kToolTable,       &kContentPartTable, &kToolCallTable,     &kToolCallFunctionTable, &kStreamOptionsTable,
    &kThinkingTable,   &kTokenizeTable,    &kTokenizeTextTable, &kTokenizeContentTable,  &kTokenizeChatTable,
    &kDetokenizeTable,
};

const RequestField* FindIn(const FieldTable* table, std::string_view name) {
  if (table == nullptr) return nullptr;
  const auto found = std::ranges::find(table->fields, name, &RequestField::name);
  return found == table->fields.end() ? nullptr : &*found;
}

// The cell "use" of a field's line.
std::string UseText(const RequestField& field) {
  if (field.use == FieldUse::kRefused) {
    std::string word = "refused";
    if (field.allowed != "null") {
      const std::string allowed(field.allowed);
      absl::StrAppend(&word, " except `", absl::StrReplaceAll(allowed, {{", ", "`, `"}}), "`");
    }
    return absl::StrCat(word, ": ", std::string(field.why));
  }
  std::string word = field.use == FieldUse::kHonoured ? "honoured" : "accepted";
  if (!field.note.empty()) absl::StrAppend(&word, ": ", std::string(field.note));
  return word;
}

}  // namespace

const RequestObject kChatRequest = {&kChatTable, &kGenerationTable};
const RequestObject kCompletionRequest = {&kCompletionTable, &kGenerationTable};
const RequestObject kTokenizeText = {&kTokenizeTextTable, &kTokenizeTable};
const RequestObject kTokenizeContent = {&kTokenizeContentTable, &kTokenizeTable};
const RequestObject kTokenizeChat = {&kTokenizeChatTable, &kTokenizeTable};
const RequestObject kDetokenizeRequest = {&kDetokenizeTable};
const RequestObject kMessage = {&kMessageTable, nullptr, /*unknown_are_labels=*/true};
const RequestObject kAssistantMessage = {&kAssistantTable, &kMessageTable, /*unknown_are_labels=*/true};
const RequestObject kToolMessage = {&kToolTable, &kMessageTable, /*unknown_are_labels=*/true};
const RequestObject kContentPart = {&kContentPartTable, nullptr, /*unknown_are_labels=*/true};
const RequestObject kToolCall = {&kToolCallTable, nullptr, /*unknown_are_labels=*/true};
const RequestObject kToolCallFunction = {&kToolCallFunctionTable, nullptr, /*unknown_are_labels=*/true};
const RequestObject kStreamOptions = {&kStreamOptionsTable};
const RequestObject kThinking = {&kThinkingTable};

const RequestField* RequestObject::Find(std::string_view name) const {
  const RequestField* field = FindIn(own, name);
  return field != nullptr ? field : FindIn(shared, name);
}

std::span<const FieldTable* const> AllFieldTables() { return kTables; }

std::string FieldTableText(const FieldTable& table) {
  std::string text = "| field | type | default | range | use |\n|---|---|---|---|---|\n";
  for (const RequestField& field : table.fields) {
    const std::string_view absent = field.use == FieldUse::kHonoured ? field.absent : "";
    absl::StrAppend(&text, "| `", std::string(field.name), "` | ", std::string(field.type), " |");
    for (const std::string& cell : {std::string(absent), std::string(field.range), UseText(field)}) {
      absl::StrAppend(&text, cell.empty() ? "" : " ", cell, " |");
    }
    text += '\n';
  }
  return text;
}

}  // namespace deeprack::coordinator
