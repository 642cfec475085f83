// Fields of the objects that ask for the form of an answer.
#include "coordinator/api/field_entries.h"
#include "coordinator/api/request_fields.h"

namespace deeprack::coordinator {
namespace {

constexpr RequestField kResponseFormatFields[] = {
    Honoured("type", "string", "required", "`text`, `json_object`, `json_schema`",
             "any other value is refused"),
    Honoured("json_schema", "object", "none", "", "with `json_schema`; see [below](#fields-of-json_schema)"),
};

constexpr RequestField kJsonSchemaFields[] = {
    Honoured("schema", "object", "required", "256 KiB, 64 levels",
             "see [below](#answers-of-a-given-form) for what is supported"),
    Label("name"),
    Label("description"),
    Label("strict", "every answer keeps to its schema"),
};

constexpr RequestField kStructuredOutputsFields[] = {
    Honoured("json", "object or string", "none", "256 KiB, 64 levels", "a JSON schema"),
    Honoured("json_object", "boolean", "false", "", "any JSON object"),
    Honoured("regex", "string", "none", "16 KiB", "a regular expression, which the whole answer matches"),
    Honoured("choice", "array of strings", "none", "1 to 1000", "the answer is one of these texts"),
    Honoured("grammar", "string", "none", "256 KiB",
             "a grammar in EBNF, as llama.cpp's; its first rule is `root`"),
    Label("disable_fallback", "there is one backend"),
    Label("disable_additional_properties", "objects have no properties that their schema does not name"),
    Refused("disable_any_whitespace", "JSON may have white space", "false"),
    Refused("whitespace_pattern", "JSON may have white space"),
    Refused("structural_tag", "use tools"),
};

constexpr FieldTable kResponseFormatTable = {"Fields of response_format", kResponseFormatFields};
constexpr FieldTable kJsonSchemaTable = {"Fields of json_schema", kJsonSchemaFields};
constexpr FieldTable kStructuredOutputsTable = {"Fields of structured_outputs", kStructuredOutputsFields};

constexpr const FieldTable* kTables[] = {&kResponseFormatTable, &kJsonSchemaTable, &kStructuredOutputsTable};

}  // namespace

const RequestObject kResponseFormat = {&kResponseFormatTable};
const RequestObject kJsonSchemaFormat = {&kJsonSchemaTable};
const RequestObject kStructuredOutputs = {&kStructuredOutputsTable};

std::span<const FieldTable* const> AnswerFormTables() { return kTables; }

}  // namespace deeprack::coordinator
