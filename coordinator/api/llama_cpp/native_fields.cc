#include "coordinator/api/llama_cpp/native_fields.h"

#include "coordinator/api/field_entries.h"

namespace deeprack::coordinator::llama_cpp {
namespace {

constexpr std::string_view kProbabilities = "use n_probs";

constexpr RequestField kNativeFields[] = {
    Honoured("prompt", "string, array of strings, array of token ids, or array of such arrays", "required",
             "at most 128 prompts, none empty", "as in `/v1/completions`; several answers are an array"),
    Honoured(
        "n_predict", "integer", "-1", "at least 0, or -1",
        "cut to the rest of the context; -1: the whole rest. `max_tokens` counts only without `n_predict`"),
    Honoured("n_probs", "integer", "0", "as `logprobs` of `/v1/completions`",
             "`completion_probabilities` lists this number of likely tokens for each token of the answer"),
    Honoured("grammar", "string", "none", "256 KiB", "a grammar in EBNF; its first rule is `root`"),
    Honoured("json_schema", "object", "none", "256 KiB, 64 levels",
             "the answer is JSON that the schema accepts"),
    Honoured("return_tokens", "boolean", "false", "", "`tokens` has the ids; events always have them"),

    Refused("logprobs", kProbabilities, "0, false"),
    Refused("prompt_logprobs", kProbabilities),
    Refused("return_token_ids", "use return_tokens", "false"),
    Refused("return_tokens_as_token_ids", kProbabilities, "false"),
    Refused("stream_options", "the last event has all counts", "{}"),
};

constexpr FieldTable kNativeTable = {"Fields of /completion alone", kNativeFields};
constexpr const FieldTable* kTables[] = {&kNativeTable};

}  // namespace

const RequestObject kNativeRequest = {&kNativeTable, kCompletionRequest.shared};

std::span<const FieldTable* const> NativeFieldTables() { return kTables; }

}  // namespace deeprack::coordinator::llama_cpp
