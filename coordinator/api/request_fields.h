// The fields that a request's JSON may have. The parsers refuse a field that is in none of these tables.
// docs/API.md has a table of the same fields under each `heading`, made by FieldTableText.
// tests/unit/api/api_page_test.cc compares the two, and can write the page's tables.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace deeprack::coordinator {

enum class FieldUse : uint8_t {
  kHonoured,  // the field changes the answer
  kAccepted,  // a label: any value is accepted, and changes nothing in the answer
  kRefused,   // every value is an error except null and the values of `allowed`
};

struct RequestField {
  std::string_view name;
  FieldUse use = FieldUse::kHonoured;
  std::string_view why = {};  // kRefused: the reason, for the error message
  // kRefused: JSON values, with commas between them, that change nothing in the answer.
  std::string_view allowed = "null";

  // For the tables of docs/API.md.
  std::string_view type = "any";
  std::string_view absent = "none";  // what an absent field means
  std::string_view range = {};
  std::string_view note = {};  // follows the word for `use`
};

struct FieldTable {
  std::string_view heading;
  std::span<const RequestField> fields;
};

// The fields of one JSON object: the fields of one table or of two tables.
struct RequestObject {
  const FieldTable* own;
  const FieldTable* shared = nullptr;
  bool unknown_are_labels = false;  // fields that no table has are accepted, as labels

  const RequestField* Find(std::string_view name) const;  // nullptr: unknown
};

extern const RequestObject kChatRequest, kCompletionRequest;
extern const RequestObject kTokenizeText, kTokenizeContent, kTokenizeChat, kDetokenizeRequest;
extern const RequestObject kMessage, kAssistantMessage, kToolMessage;
extern const RequestObject kContentPart, kToolCall, kToolCallFunction;
extern const RequestObject kStreamOptions, kResponseFormat, kJsonSchemaFormat, kStructuredOutputs, kThinking;

// Every table of the endpoints in this folder, once. The tables of the objects that ask for the form of an
// answer are apart.
std::span<const FieldTable* const> AnswerFormTables();
std::span<const FieldTable* const> AllFieldTables();

// The table as Markdown: a line for each field.
std::string FieldTableText(const FieldTable& table);

}  // namespace deeprack::coordinator
