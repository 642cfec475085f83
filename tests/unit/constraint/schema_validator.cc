#include "schema_validator.h"

#include <algorithm>
#include <cmath>
#include <regex>
#include <string>

namespace deeprack::constraint {
namespace {

using Json = nlohmann::json;

bool IsType(const Json& value, const std::string& type) {
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "null") return value.is_null();
  if (type == "array") return value.is_array();
  if (type == "object") return value.is_object();
  if (type == "number") return value.is_number();
  return value.is_number() && std::floor(value.get<double>()) == value.get<double>();
}

int64_t CodePoints(const std::string& text) {
  return std::count_if(text.begin(), text.end(),
                       [](char byte) { return (static_cast<uint8_t>(byte) & 0xc0) != 0x80; });
}

bool Within(int64_t count, const Json& schema, const char* least, const char* most) {
  return count >= schema.value(least, int64_t{0}) && count <= schema.value(most, int64_t{1} << 40);
}

bool NumberValidates(double value, const Json& schema) {
  return value >= schema.value("minimum", -HUGE_VAL) && value <= schema.value("maximum", HUGE_VAL) &&
         (!schema.contains("exclusiveMinimum") || value > schema["exclusiveMinimum"].get<double>()) &&
         (!schema.contains("exclusiveMaximum") || value < schema["exclusiveMaximum"].get<double>()) &&
         (!schema.contains("multipleOf") || std::fmod(value, schema["multipleOf"].get<double>()) == 0);
}

bool ArrayValidates(const Json& value, const Json& schema, const Json& root) {
  if (!Within(std::ssize(value), schema, "minItems", "maxItems")) return false;
  const Json prefix = schema.value("prefixItems", Json::array());
  for (size_t i = 0; i < value.size(); ++i) {
    if (i < prefix.size()) {
      if (!Validates(value[i], prefix[i], root)) return false;
    } else if (schema.contains("items") && !Validates(value[i], schema["items"], root)) {
      return false;
    }
  }
  return true;
}

bool ObjectValidates(const Json& value, const Json& schema, const Json& root) {
  if (!Within(std::ssize(value), schema, "minProperties", "maxProperties")) return false;
  for (const Json& name : schema.value("required", Json::array())) {
    if (!value.contains(name.get<std::string>())) return false;
  }
  const Json properties = schema.value("properties", Json::object());
  for (const auto& [name, member] : value.items()) {
    if (properties.contains(name)) {
      if (!Validates(member, properties[name], root)) return false;
    } else if (schema.contains("additionalProperties") &&
               !Validates(member, schema["additionalProperties"], root)) {
      return false;
    }
  }
  return true;
}

}  // namespace

bool Validates(const Json& value, const Json& schema, const Json& root) {
  if (schema.is_boolean()) return schema.get<bool>();
  const auto matches = [&](const Json& branch) { return Validates(value, branch, root); };
  if (schema.contains("$ref")) {
    const std::string pointer = schema["$ref"];
    if (!Validates(value, root.at(Json::json_pointer(pointer.substr(1))), root)) return false;
  }
  if (schema.contains("const") && value != schema["const"]) return false;
  if (schema.contains("enum") && std::count(schema["enum"].begin(), schema["enum"].end(), value) == 0)
    return false;
  if (schema.contains("anyOf") && std::none_of(schema["anyOf"].begin(), schema["anyOf"].end(), matches))
    return false;
  if (schema.contains("oneOf") && std::count_if(schema["oneOf"].begin(), schema["oneOf"].end(), matches) != 1)
    return false;
  if (schema.contains("allOf") && !std::all_of(schema["allOf"].begin(), schema["allOf"].end(), matches))
    return false;
  if (schema.contains("type")) {
    const Json types = schema["type"].is_array() ? schema["type"] : Json::array({schema["type"]});
    if (std::none_of(types.begin(), types.end(), [&](const Json& type) { return IsType(value, type); }))
      return false;
  }
  if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    if (!Within(CodePoints(text), schema, "minLength", "maxLength")) return false;
    return !schema.contains("pattern") ||
           std::regex_search(text, std::regex(schema["pattern"].get<std::string>()));
  }
  if (value.is_number()) return NumberValidates(value.get<double>(), schema);
  if (value.is_array()) return ArrayValidates(value, schema, root);
  return !value.is_object() || ObjectValidates(value, schema, root);
}

}  // namespace deeprack::constraint
