#include "coordinator/api/json_fields.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace deeprack::coordinator {
namespace {

constexpr int kMaxNesting = 64;

// The offset of the first bracket that nests too deep, if any. Runs before the parser, because the destructor
// of its values is recursive.
std::optional<size_t> FindTooDeep(std::string_view body) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < body.size(); ++i) {
    const char c = body[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxNesting) return i;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return std::nullopt;
}

// The message of nlohmann's exception without the prefix "[json.exception.parse_error.101] ".
std::string Reason(const std::exception& e) {
  const std::string_view what = e.what();
  const size_t end = what.find("] ");
  return std::string(end == what.npos ? what : what.substr(end + 2));
}

// 200 for 200.0: some clients write every number with a fraction. nullopt: not a float with a whole value.
std::optional<Json> WholeNumber(const Json& value) {
  if (!value.is_number_float()) return std::nullopt;
  const double number = value.get<double>();
  constexpr double kMostExact = 9007199254740992;  // 2^53
  if (std::floor(number) != number || std::abs(number) > kMostExact) return std::nullopt;
  return Json(static_cast<int64_t>(number));
}

// True if `value` is one of the field's `allowed` values. 1 and 1.0 are equal.
bool Allows(const RequestField& field, const Json& value) {
  const Json allowed = Json::parse(absl::StrCat("[", std::string(field.allowed), "]"));
  return std::find(allowed.begin(), allowed.end(), value) != allowed.end();
}

// A value as messages show it.
std::string Shorten(std::string text) {
  constexpr size_t kMost = 60;
  if (text.size() <= kMost) return text;
  size_t end = kMost;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // whole characters
  return text.substr(0, end) + "...";
}

}  // namespace

std::variant<Json, ApiError> ParseBody(std::string_view body) {
  if (const std::optional<size_t> offset = FindTooDeep(body)) {
    return BadRequest("invalid_json", "",
                      absl::StrCat("the body nests deeper than ", kMaxNesting, " levels at byte ", *offset));
  }
  try {
    Json value = Json::parse(body);
    if (!value.is_object()) {
      return BadRequest("invalid_json", "",
                        absl::StrCat("the body must be a JSON object, not ", value.type_name()));
    }
    return value;
  } catch (const Json::parse_error& e) {
    return BadRequest("invalid_json", "",
                      absl::StrCat("the body is not valid JSON in UTF-8, at byte ", e.byte, ": ", Reason(e)));
  } catch (const std::exception& e) {  // most often: a number beyond the range of a double
    return BadRequest("invalid_json", "", absl::StrCat("the body cannot be read: ", Reason(e)));
  }
}

BodyReader::BodyReader(std::string_view body, const RequestObject& kind, bool ignore_unknown)
    : object_(Json::object()),
      unknown_{.ignore = ignore_unknown},
      fields_(object_, kind, "", &error_, &unknown_) {
  std::variant<Json, ApiError> parsed = ParseBody(body);
  if (ApiError* error = std::get_if<ApiError>(&parsed)) {
    error_ = std::move(*error);
  } else {
    object_ = std::move(std::get<Json>(parsed));
  }
}

Json DecimalJson(float value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
  double number = value;
  (void)absl::SimpleAtod(absl::string_view(text, static_cast<size_t>(end - text)), &number);
  return number;
}

void JsonFields::FailType(std::string_view name, const char* expected, const Json& found) {
  Fail(BadRequest("invalid_type", Path(name),
                  absl::StrCat(Path(name), " must be ", expected, ", not ", found.type_name())));
}

const Json* JsonFields::Find(std::string_view name) const {
  const auto it = object_.find(name);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

const Json* JsonFields::Any(std::string_view name) {
  DR_CHECK(kind_.Find(name) != nullptr);
  return Find(name);
}

bool JsonFields::IsObject(const Json& value, const std::string& path) {
  if (value.is_object()) return true;
  Fail(BadRequest("invalid_type", path, absl::StrCat(path, " must be an object, not ", value.type_name())));
  return false;
}

bool JsonFields::Bool(std::string_view name, bool absent) {
  const Json* value = Any(name);
  if (value == nullptr) return absent;
  if (!value->is_boolean()) {
    FailType(name, "true or false", *value);
    return absent;
  }
  return value->get<bool>();
}

int64_t JsonFields::Integer(std::string_view name, int64_t absent, int64_t min, int64_t max) {
  const Json* value = Any(name);
  if (value == nullptr) return absent;
  const std::optional<Json> whole = WholeNumber(*value);
  if (whole) value = &*whole;
  if (!value->is_number_integer()) {
    FailType(name, "an integer", *value);
    return absent;
  }
  const bool beyond = value->is_number_unsigned() && value->get<uint64_t>() > uint64_t{INT64_MAX};
  if (beyond || value->get<int64_t>() < min || value->get<int64_t>() > max) {
    Fail(InvalidValue(
        Path(name), absl::StrCat(Path(name), " is ", value->dump(), "; it must be from ", min, " to ", max)));
    return absent;
  }
  return value->get<int64_t>();
}

double JsonFields::Number(std::string_view name, double absent, double min, double max) {
  const Json* value = Any(name);
  if (value == nullptr) return absent;
  if (!value->is_number()) {
    FailType(name, "a number", *value);
    return absent;
  }
  const double number = value->get<double>();
  if (!(number >= min && number <= max)) {
    Fail(InvalidValue(
        Path(name), absl::StrCat(Path(name), " is ", value->dump(), "; it must be from ", min, " to ", max)));
    return absent;
  }
  return number;
}

std::optional<std::string> JsonFields::String(std::string_view name) {
  const Json* value = Any(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) {
    FailType(name, "a string", *value);
    return std::nullopt;
  }
  return value->get<std::string>();
}

std::string JsonFields::RequiredString(std::string_view name) {
  if (!Has(name)) Fail(BadRequest("missing_field", Path(name), absl::StrCat(Path(name), " is missing")));
  return String(name).value_or("");
}

const Json* JsonFields::Array(std::string_view name, size_t max_size) {
  const Json* value = Any(name);
  if (value == nullptr) return nullptr;
  if (!value->is_array()) {
    FailType(name, "an array", *value);
    return nullptr;
  }
  if (value->size() > max_size) {
    Fail(InvalidValue(Path(name), absl::StrCat(Path(name), " has ", value->size(), " entries; at most ",
                                               max_size, " are accepted")));
    return nullptr;
  }
  return value;
}

const Json* JsonFields::Object(std::string_view name) {
  const Json* value = Any(name);
  if (value == nullptr) return nullptr;
  if (!value->is_object()) {
    FailType(name, "an object", *value);
    return nullptr;
  }
  return value;
}

void JsonFields::RefuseUnsupported(const FieldTable* table) {
  if (table == nullptr) return;
  for (const RequestField& field : table->fields) {
    if (field.use != FieldUse::kRefused) continue;
    const Json* value = Find(field.name);  // most often absent, and a table has many fields
    if (value == nullptr || Allows(field, *value)) continue;
    if (kind_.Find(field.name) != &field) continue;  // the own table stands over the shared one
    const std::string path = Path(field.name);
    const std::string shown = field.allowed == "null" ? "" : absl::StrCat(" ", Shorten(value->dump()));
    Fail(Unsupported(path, absl::StrCat(path, shown, " is not supported: ", std::string(field.why))));
  }
}

void JsonFields::RefuseOthers() {
  RefuseUnsupported(kind_.own);
  RefuseUnsupported(kind_.shared);
  if (failed() || kind_.unknown_are_labels) return;
  for (const auto& [name, value] : object_.items()) {
    if (value.is_null() || kind_.Find(name) != nullptr) continue;
    if (unknown_ != nullptr && unknown_->ignore) {
      ++unknown_->ignored;
      continue;
    }
    Fail(BadRequest("unknown_field", Path(name), absl::StrCat("unknown field ", Path(name))));
    return;
  }
}

}  // namespace deeprack::coordinator
