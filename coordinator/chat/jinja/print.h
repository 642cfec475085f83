// Values as text: what Python's str, repr and json.dumps make of them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "coordinator/chat/jinja/value.h"

namespace deeprack::coordinator::jinja {

// Bytes that one text may have.
inline constexpr size_t kMaxTextBytes = size_t{64} << 20;
absl::Status TextTooLong();

// str(value). Errors: ResourceExhausted for a text beyond kMaxTextBytes.
absl::StatusOr<Text> ToText(const Value& value);

// repr of a float: the shortest text that gives the same number.
std::string FloatText(double number);

struct JsonStyle {
  bool ensure_ascii = false;  // characters beyond ASCII become \uXXXX
  bool sort_keys = false;
  std::optional<Text> indent;  // absent: one line
  std::optional<Text> item_separator;
  std::optional<Text> key_separator;
};

// json.dumps(value). Errors: InvalidArgument for a value that JSON does not have; ResourceExhausted.
absl::StatusOr<Text> ToJson(const Value& value, const JsonStyle& style);

// The value of a JSON text. Strings are data. Errors: InvalidArgument for text that is not JSON or is nested
// more than 128 levels deep. An integer beyond 64 bits becomes a float.
absl::StatusOr<Value> FromJson(std::string_view json);

}  // namespace deeprack::coordinator::jinja
