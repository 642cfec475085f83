// The fields that a request's JSON may have. The parsers refuse a field that is in none of these tables.
// docs/API.md has a table of the same fields under each `heading`; tests/unit/api/api_page_test.cc compares.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace deeprack::coordinator {

enum class FieldUse : uint8_t {
  kHonoured,  // the field changes the answer
  kAccepted,  // the field is checked and changes nothing
  kRefused,   // every value is an error, but null and `allowed`
};

struct RequestField {
  std::string_view name;
  FieldUse use = FieldUse::kHonoured;
  std::string_view why = {};          // kRefused: the reason, for the error message
  std::string_view allowed = "null";  // kRefused: JSON of the value that asks for what the server does anyway
};

struct FieldTable {
  std::string_view heading;
  std::span<const RequestField> fields;
};

// The fields of one JSON object: those of one table, or of two.
struct RequestObject {
  const FieldTable* own;
  const FieldTable* shared = nullptr;

  const RequestField* Find(std::string_view name) const;  // nullptr: unknown
};

extern const RequestObject kChatRequest, kCompletionRequest;
extern const RequestObject kTokenizeText, kTokenizeChat, kDetokenizeRequest;
extern const RequestObject kMessage, kAssistantMessage, kToolMessage;
extern const RequestObject kContentPart, kToolCall, kToolCallFunction;
extern const RequestObject kStreamOptions, kResponseFormat;

// Every table once.
std::span<const FieldTable* const> AllFieldTables();

}  // namespace deeprack::coordinator
