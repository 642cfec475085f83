#include "model/config/json_fields.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace deeprack::model {
namespace {

using nlohmann::json;

constexpr size_t kMaxJsonBytes = 16 << 20;
constexpr size_t kMaxShownBytes = 60;

const json& EmptyObject() {
  static const json& empty = *new json(json::object());
  return empty;
}

// The value as text for an error message. Objects and arrays are only named, because they may have any depth.
std::string Shown(const json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return absl::StrCat("an array of ", value.size());
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > kMaxShownBytes) text = absl::StrCat(text.substr(0, kMaxShownBytes), "...");
  return text;
}

std::string Describe(IntegerRange range) {
  return absl::StrCat("an integer from ", range.min, " to ", range.max);
}

std::string Describe(NumberRange range) {
  return absl::StrCat("a number ", range.with_min ? "from " : "above ", range.min, " up to ", range.max);
}

}  // namespace

absl::StatusOr<json> ParseJsonObject(std::string_view text, const std::string& file) {
  if (text.size() > kMaxJsonBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": ", text.size(), " bytes, at most ", kMaxJsonBytes, " bytes are allowed"));
  }
  try {
    json value = json::parse(text.begin(), text.end());
    if (value.is_object()) return value;
    return absl::InvalidArgumentError(absl::StrCat(file, ": expected a JSON object, found ", Shown(value)));
  } catch (const json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": not valid JSON: ", error.what()));
  }
}

JsonFields::JsonFields(const json& object, std::string where, absl::Status* fault)
    : object_(object), where_(std::move(where)), fault_(fault) {}

const json* JsonFields::Find(const char* key) const {
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

bool JsonFields::Has(const char* key) const { return Find(key) != nullptr; }

JsonFields JsonFields::Object(const char* key) const {
  const json* value = Find(key);
  JsonFields fields(value != nullptr && value->is_object() ? *value : EmptyObject(),
                    absl::StrCat(where_, ": ", key), fault_);
  if (value != nullptr && !value->is_object()) {
    fields.Fault(absl::StrCat("must be an object or null, found ", Shown(*value)));
  }
  return fields;
}

void JsonFields::Fault(const std::string& message) {
  if (fault_->ok()) *fault_ = absl::InvalidArgumentError(absl::StrCat(where_, ": ", message));
}

void JsonFields::Missing(const char* key, const std::string& expected) {
  Fault(absl::StrCat(key, " is missing: ", expected, " is required"));
}

void JsonFields::Wrong(const char* key, const std::string& expected) {
  Fault(absl::StrCat(key, " must be ", expected, ", found ", Shown(*Find(key))));
}

int64_t JsonFields::ToInteger(const char* key, const json& value, IntegerRange range) {
  // nlohmann reads an integer of more than 64 bits as a float, which this check refuses.
  if (value.is_number_unsigned()) {
    const uint64_t number = value.get<uint64_t>();
    if (range.max >= 0 && number <= static_cast<uint64_t>(range.max) &&
        static_cast<int64_t>(number) >= range.min) {
      return static_cast<int64_t>(number);
    }
  } else if (value.is_number_integer()) {
    const int64_t number = value.get<int64_t>();
    if (number >= range.min && number <= range.max) return number;
  }
  Fault(absl::StrCat(key, " must be ", Describe(range), ", found ", Shown(value)));
  return range.min;
}

int64_t JsonFields::Integer(const char* key, IntegerRange range) {
  if (const json* value = Find(key)) return ToInteger(key, *value, range);
  Missing(key, Describe(range));
  return range.min;
}

int64_t JsonFields::IntegerOr(const char* key, IntegerRange range, int64_t fallback) {
  const json* value = Find(key);
  return value == nullptr ? fallback : ToInteger(key, *value, range);
}

double JsonFields::Number(const char* key, NumberRange range) {
  if (!Has(key)) Missing(key, Describe(range));
  return NumberOr(key, range, range.max);
}

double JsonFields::NumberOr(const char* key, NumberRange range, double fallback) {
  const json* value = Find(key);
  if (value == nullptr) return fallback;
  if (value->is_number()) {
    const double number = value->get<double>();
    const bool above_min = range.with_min ? number >= range.min : number > range.min;
    if (above_min && number <= range.max) return number;  // NaN is neither
  }
  Wrong(key, Describe(range));
  return fallback;
}

bool JsonFields::Bool(const char* key) {
  if (!Has(key)) Missing(key, "true or false");
  return BoolOr(key, false);
}

bool JsonFields::BoolOr(const char* key, bool fallback) {
  const json* value = Find(key);
  if (value == nullptr) return fallback;
  if (value->is_boolean()) return value->get<bool>();
  Wrong(key, "true or false");
  return fallback;
}

std::string JsonFields::StringOr(const char* key, std::string_view fallback) {
  const json* value = Find(key);
  if (value == nullptr) return std::string(fallback);
  if (value->is_string()) return value->get<std::string>();
  Wrong(key, "a string");
  return std::string(fallback);
}

std::vector<int64_t> JsonFields::Integers(const char* key, IntegerRange range) {
  const json* value = Find(key);
  if (value == nullptr) return {};
  if (!value->is_array()) return {ToInteger(key, *value, range)};
  std::vector<int64_t> numbers;
  for (const json& element : *value) numbers.push_back(ToInteger(key, element, range));
  return numbers;
}

void JsonFields::RequireString(const char* key, std::initializer_list<const char*> accepted) {
  const json* value = Find(key);
  if (value == nullptr) return;
  if (value->is_string()) {
    for (const char* choice : accepted) {
      if (value->get_ref<const std::string&>() == choice) return;
    }
  }
  Fault(absl::StrCat(key, " ", Shown(*value), " is not served yet: it must be ",
                     absl::StrJoin(accepted, " or ")));
}

void JsonFields::RequireBool(const char* key, bool accepted) {
  const bool found = BoolOr(key, accepted);
  if (found != accepted) {
    Fault(absl::StrCat(key, " ", found ? "true" : "false", " is not served yet: it must be ",
                       accepted ? "true" : "false"));
  }
}

void JsonFields::RequireInteger(const char* key, int64_t accepted, const std::string& why) {
  const json* value = Find(key);
  if (value == nullptr || (value->is_number_integer() && *value == accepted)) return;
  Fault(absl::StrCat(key, " ", Shown(*value), " is not served: it must be ", accepted, " (", why, ")"));
}

void JsonFields::RequireAbsent(const char* key, const std::string& advice) {
  if (const json* value = Find(key)) {
    Fault(absl::StrCat(key, " ", Shown(*value), " is not served yet: ", advice));
  }
}

}  // namespace deeprack::model
