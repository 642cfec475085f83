#include "constraint/schema_branches.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace deeprack::constraint {
namespace {

constexpr int kMostSteps = 16;  // $ref's to $ref's
constexpr int kMostNested = 4;  // properties of properties that are compared

// The values that `schema` lists; nullopt: it lists none.
std::optional<std::vector<SchemaJson>> ValuesOf(const SchemaJson& schema) {
  if (schema.contains("const")) return std::vector<SchemaJson>{schema["const"]};
  if (schema.contains("enum") && schema["enum"].is_array())
    return schema["enum"].get<std::vector<SchemaJson>>();
  return std::nullopt;
}

std::vector<std::string> Types(const SchemaJson& type) {
  std::vector<std::string> types;
  if (type.is_string()) types.push_back(type.get<std::string>());
  if (type.is_array()) {
    for (const SchemaJson& one : type) {
      if (one.is_string()) types.push_back(one.get<std::string>());
    }
  }
  return types;
}

bool Requires(const SchemaJson& schema, const std::string& name) {
  if (!schema.contains("required") || !schema["required"].is_array()) return false;
  const SchemaJson& names = schema["required"];
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool Exclude(const SchemaJson& first, const SchemaJson& second, const SchemaJson& root, int nested) {
  const SchemaJson* a = Resolve(first, root);
  const SchemaJson* b = Resolve(second, root);
  if (a == nullptr || b == nullptr || !a->is_object() || !b->is_object()) return false;
  const auto values_a = ValuesOf(*a), values_b = ValuesOf(*b);
  if (values_a && values_b) {
    return std::none_of(values_a->begin(), values_a->end(), [&](const SchemaJson& value) {
      return std::find(values_b->begin(), values_b->end(), value) != values_b->end();
    });
  }
  if (values_a || values_b) {
    const SchemaJson& other = values_a ? *b : *a;
    const auto& values = values_a ? *values_a : *values_b;
    return other.contains("type") && std::none_of(values.begin(), values.end(), [&](const SchemaJson& value) {
             return HasType(value, other["type"]);
           });
  }
  if (!a->contains("type") || !b->contains("type")) return false;
  const std::vector<std::string> types_a = Types((*a)["type"]);
  if (std::none_of(types_a.begin(), types_a.end(), [&](const std::string& type) {
        return MayBe(*b, type) || (type == "integer" && MayBe(*b, "number")) ||
               (type == "number" && MayBe(*b, "integer"));
      })) {
    return true;
  }
  if ((*a)["type"] != "object" || (*b)["type"] != "object" || nested == 0) return false;
  if (!a->contains("properties") || !b->contains("properties")) return false;
  for (const auto& [name, property] : (*a)["properties"].items()) {
    if (!(*b)["properties"].contains(name) || !Requires(*a, name) || !Requires(*b, name)) continue;
    if (Exclude(property, (*b)["properties"][name], root, nested - 1)) return true;
  }
  return false;
}

}  // namespace

const SchemaJson* Resolve(const SchemaJson& schema, const SchemaJson& root) {
  const SchemaJson* at = &schema;
  for (int step = 0; step < kMostSteps; ++step) {
    if (!at->is_object() || !at->contains("$ref")) return at;
    const SchemaJson& reference = (*at)["$ref"];
    if (!reference.is_string()) return nullptr;
    const std::string& pointer = reference.get_ref<const std::string&>();
    if (pointer.empty() || pointer[0] != '#') return nullptr;
    at = &root;
    if (pointer.size() == 1) continue;
    std::vector<std::string> tokens = absl::StrSplit(pointer.substr(1), '/');
    for (size_t i = 1; i < tokens.size(); ++i) {
      const std::string token =
          absl::StrReplaceAll(absl::StrReplaceAll(tokens[i], {{"~1", "/"}}), {{"~0", "~"}});
      size_t index = 0;
      if (at->is_object() && at->contains(token)) {
        at = &(*at)[token];
      } else if (at->is_array() && absl::SimpleAtoi(token, &index) && index < at->size()) {
        at = &(*at)[index];
      } else {
        return nullptr;
      }
    }
  }
  return nullptr;
}

bool HasType(const SchemaJson& value, const SchemaJson& type) {
  const std::vector<std::string> types = Types(type);
  const auto has = [&](std::string_view name) {
    return std::find(types.begin(), types.end(), name) != types.end();
  };
  switch (value.type()) {
    case SchemaJson::value_t::null:
      return has("null");
    case SchemaJson::value_t::boolean:
      return has("boolean");
    case SchemaJson::value_t::string:
      return has("string");
    case SchemaJson::value_t::array:
      return has("array");
    case SchemaJson::value_t::object:
      return has("object");
    case SchemaJson::value_t::number_float:
      return has("number") || (has("integer") && std::floor(value.get<double>()) == value.get<double>());
    default:
      return has("number") || has("integer");
  }
}

bool MayBe(const SchemaJson& schema, std::string_view type) {
  if (!schema.contains("type")) return true;
  const std::vector<std::string> types = Types(schema["type"]);
  return std::find(types.begin(), types.end(), type) != types.end();
}

bool ExcludeEachOther(const SchemaJson& a, const SchemaJson& b, const SchemaJson& root) {
  return Exclude(a, b, root, kMostNested);
}

}  // namespace deeprack::constraint
