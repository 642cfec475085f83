// The methods of values, such as 'text'.strip() and dict.items(), and the attributes of `loop`.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/chat/jinja/value.h"

namespace deeprack::coordinator::jinja {

// The method bound to its value; nullopt: the type has no method of the name. Methods that change their value
// (append, update, ...) are undefined, as in jinja2's immutable sandbox.
std::optional<Value> Method(const Value& value, std::string_view name);

// The method of a text. nullopt: none.
std::optional<Value> StringMethod(const Value& value, std::string_view name);

// An attribute of `loop`, such as loop.index.
absl::StatusOr<std::optional<Value>> LoopAttribute(const Value& loop, std::string_view name);

// 'text %s %d' % values.
absl::StatusOr<Value> PercentFormat(const Text& format, const std::vector<Value>& values);

// Where `part` stands in the text, one after another and without overlap. Not for an empty part.
std::vector<size_t> FindAll(std::string_view text, std::string_view part);

// str.replace; count < 0: all.
absl::StatusOr<Text> Replace(const Text& text, const Text& from, const Text& to, int64_t count);

// The text as HTML: & < > " ' become entities, unless the text is HTML. Errors: ResourceExhausted.
absl::StatusOr<Text> EscapeHtml(const Text& text);

// str.splitlines.
std::vector<Text> SplitLines(const Text& text);

// Changes case as Python's str does. kTitle capitalizes each word, kCapitalize the first letter of the text;
// both write the other letters small.
enum class Case : uint8_t { kUpper, kLower, kTitle, kCapitalize };
Text ChangeCase(const Text& text, Case to);

}  // namespace deeprack::coordinator::jinja
