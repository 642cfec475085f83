#include "constraint/schema_check.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "constraint/limits.h"
#include "constraint/regex_check.h"
#include "constraint/schema_branches.h"
#include "constraint/string_formats.h"
#include "constraint/text_check.h"

namespace deeprack::constraint {
namespace {

template <size_t n>
bool IsOneOf(std::string_view name, const std::array<std::string_view, n>& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

constexpr std::array<std::string_view, 16> kUnsupported = {"not",
                                                           "if",
                                                           "then",
                                                           "else",
                                                           "dependentRequired",
                                                           "dependentSchemas",
                                                           "dependencies",
                                                           "contains",
                                                           "minContains",
                                                           "maxContains",
                                                           "patternProperties",
                                                           "propertyNames",
                                                           "$dynamicRef",
                                                           "$recursiveRef",
                                                           "additionalItems",
                                                           "unevaluatedItems"};
constexpr std::array<std::string_view, 7> kTypes = {"string", "integer", "number", "boolean",
                                                    "null",   "array",   "object"};
constexpr std::array<std::string_view, 3> kBranches = {"anyOf", "oneOf", "allOf"};
// Weights of schemas, as measured for schemas of thousands of such parts.
constexpr int64_t kValueWeight = 2;      // true, null, 1.5, a name: each value and each property
constexpr int64_t kContentWeight = 30;   // a string, an object, an array, any value
constexpr int64_t kRangeWeight = 90;     // a number with bounds
constexpr int64_t kMultipleWeight = 64;  // multipleOf n weighs n * n / 64

// For a message: the value on one line of ASCII, its beginning if it is long.
std::string Shown(const SchemaJson& value) {
  constexpr size_t kMost = 120;
  const std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true);
  return text.size() <= kMost ? text : absl::StrCat(text.substr(0, kMost), "...");
}

// The types whose values a keyword restricts; empty: all types.
std::vector<std::string> TypesOf(std::string_view keyword) {
  constexpr std::array<std::string_view, 4> kString = {"minLength", "maxLength", "pattern", "format"};
  constexpr std::array<std::string_view, 5> kNumber = {"minimum", "maximum", "exclusiveMinimum",
                                                       "exclusiveMaximum", "multipleOf"};
  constexpr std::array<std::string_view, 5> kArray = {"items", "prefixItems", "minItems", "maxItems",
                                                      "uniqueItems"};
  constexpr std::array<std::string_view, 6> kObject = {"properties",           "required",
                                                       "additionalProperties", "minProperties",
                                                       "maxProperties",        "unevaluatedProperties"};
  if (IsOneOf(keyword, kString)) return {"string"};
  if (IsOneOf(keyword, kNumber)) return {"number"};
  if (IsOneOf(keyword, kArray)) return {"array"};
  if (IsOneOf(keyword, kObject)) return {"object"};
  return {};
}

// Visits each schema once, and rewrites it in place before its inner schemas are visited.
class Checker {
 public:
  Checker(SchemaJson root, int64_t& weight) : weight_(weight), root_(std::move(root)) {}

  absl::StatusOr<std::string> Check() {
    DR_RETURN_IF_ERROR(Visit(root_, ""));
    for (const auto& [target, from] : references_) {
      if (!visited_.contains(target)) {
        return Fault(from, absl::StrCat("$ref \"#", target, "\" does not name a schema"));
      }
    }
    return root_.dump();
  }

 private:
  // `pointer`: the place as a JSON pointer.
  static absl::Status Fault(std::string_view pointer, std::string_view what) {
    const std::string place =
        absl::StrReplaceAll(std::string(pointer.substr(pointer.empty() ? 0 : 1)), {{"/", "."}});
    return absl::InvalidArgumentError(
        absl::StrCat(place.empty() ? "the schema" : place, ": ", std::string(what)));
  }

  absl::Status Weigh(int64_t weight, const std::string& pointer) {
    weight_ += weight;
    if (weight_ <= kMostTotalWeight) return absl::OkStatus();
    return Fault(pointer, absl::StrCat("the schema is too large. Up to this place its parts weigh more than ",
                                       kMostTotalWeight, ": a string, an object or an array weighs ",
                                       kContentWeight, ", a range of numbers ", kRangeWeight,
                                       ", a pattern as many as its characters, most formats 32 to 700"));
  }

  absl::Status Visit(SchemaJson& schema, const std::string& pointer) {
    visited_.insert(pointer);
    if (++schemas_ > kMostSchemas)
      return Fault(pointer, absl::StrCat("the schema holds more than ", kMostSchemas, " schemas"));
    if (schema.is_boolean()) {
      return schema.get<bool>() ? Weigh(kContentWeight, pointer) : Fault(pointer, "false accepts no value");
    }
    if (!schema.is_object())
      return Fault(pointer, absl::StrCat(Shown(schema), " is no schema: a schema is an object or true"));
    DR_RETURN_IF_ERROR(CheckKeywords(schema, pointer));
    for (const char* definitions : {"$defs", "definitions"}) {
      if (schema.contains(definitions))
        DR_RETURN_IF_ERROR(VisitMembers(schema[definitions], absl::StrCat(pointer, "/", definitions)));
    }
    if (schema.contains("$ref")) return Reference(schema, pointer);
    if (schema.contains("const") || schema.contains("enum")) return Values(schema, pointer);
    for (const std::string_view branches : kBranches) {
      if (schema.contains(branches)) return Branches(schema, std::string(branches), pointer);
    }
    DR_RETURN_IF_ERROR(SettleType(schema, pointer));
    const bool has_content = MayBe(schema, "string") || MayBe(schema, "array") || MayBe(schema, "object");
    DR_RETURN_IF_ERROR(Weigh(has_content ? kContentWeight : kValueWeight, pointer));
    DR_RETURN_IF_ERROR(Strings(schema, pointer));
    DR_RETURN_IF_ERROR(Numbers(schema, pointer));
    DR_RETURN_IF_ERROR(Arrays(schema, pointer));
    return Objects(schema, pointer);
  }

  absl::Status CheckKeywords(SchemaJson& schema, const std::string& pointer) {
    for (const auto& [name, value] : schema.items()) {
      const bool nothing = (name == "uniqueItems" && value == false) ||
                           (name == "nullable" && value == false) ||
                           (name == "unevaluatedProperties" && value == false);
      if (IsOneOf(name, kUnsupported) ||
          (!nothing && (name == "uniqueItems" || name == "nullable" || name == "unevaluatedProperties"))) {
        return Fault(pointer, absl::StrCat("the keyword \"", name, "\" is not supported"));
      }
    }
    schema.erase("unevaluatedProperties");
    return absl::OkStatus();
  }

  // Refuses keywords beside `keyword` that restrict the value, except those of `allowed`.
  absl::Status Alone(const SchemaJson& schema, std::string_view keyword, const std::string& pointer,
                     std::string_view allowed = "") {
    for (const auto& [name, value] : schema.items()) {
      const bool restricts = !TypesOf(name).empty() || name == "type" || name == "enum" || name == "const" ||
                             name == "$ref" || IsOneOf(name, kBranches);
      if (restricts && name != keyword && name != allowed) {
        return Fault(pointer,
                     absl::StrCat("\"", name, "\" beside \"", std::string(keyword), "\" is not supported"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Reference(const SchemaJson& schema, const std::string& pointer) {
    DR_RETURN_IF_ERROR(Alone(schema, "$ref", pointer));
    const SchemaJson& name = schema["$ref"];
    if (!name.is_string() || !absl::StartsWith(name.get_ref<const std::string&>(), "#")) {
      return Fault(pointer, absl::StrCat("$ref is ", Shown(name),
                                         "; it must point into the schema, as in \"#/$defs/name\""));
    }
    if (std::ssize(name.get_ref<const std::string&>()) > kMostReferenceBytes)
      return Fault(pointer, absl::StrCat("$ref is longer than ", kMostReferenceBytes, " bytes"));
    references_.insert({name.get<std::string>().substr(1), pointer});
    return absl::OkStatus();
  }

  static absl::Status TooManyValues(const std::string& pointer) {
    return Fault(pointer, absl::StrCat("the schema has more than ", kMostValues, " enum values"));
  }

  absl::Status Values(SchemaJson& schema, const std::string& pointer) {
    const std::string keyword = schema.contains("const") ? "const" : "enum";
    DR_RETURN_IF_ERROR(Alone(schema, keyword, pointer, "type"));
    std::vector<SchemaJson> values;
    if (keyword == "const") {
      values.push_back(schema["const"]);
    } else {
      if (!schema["enum"].is_array()) return Fault(pointer, "enum must be an array");
      if (std::ssize(schema["enum"]) > kMostValues) return TooManyValues(pointer);
      for (const SchemaJson& value : schema["enum"]) {
        if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
      }
    }
    values_ += std::ssize(values);
    if (values_ > kMostValues) return TooManyValues(pointer);
    DR_RETURN_IF_ERROR(Weigh(kValueWeight * std::ssize(values), pointer));
    for (const SchemaJson& value : values) value_bytes_ += std::ssize(value.dump());
    if (value_bytes_ > kMostValueBytes) {
      return Fault(pointer,
                   absl::StrCat("the enum values of the schema have more than ", kMostValueBytes, " bytes"));
    }
    if (schema.contains("type")) {
      DR_RETURN_IF_ERROR(CheckType(schema["type"], pointer));
      std::erase_if(values, [&](const SchemaJson& value) { return !HasType(value, schema["type"]); });
      schema.erase("type");
    }
    if (values.empty()) return Fault(pointer, absl::StrCat(keyword, " has no value of the schema's type"));
    schema[keyword] = keyword == "const" ? values[0] : SchemaJson(values);
    return absl::OkStatus();
  }

  absl::Status Branches(SchemaJson& schema, const std::string& keyword, const std::string& pointer) {
    DR_RETURN_IF_ERROR(Alone(schema, keyword, pointer, "type"));
    SchemaJson& branches = schema[keyword];
    if (!branches.is_array() || branches.empty())
      return Fault(pointer, absl::StrCat(keyword, " must be an array of schemas"));
    if (std::ssize(branches) > kMostBranches) {
      return Fault(pointer,
                   absl::StrCat(keyword, " has ", branches.size(), " schemas; the most is ", kMostBranches));
    }
    if (keyword == "allOf" && branches.size() > 1)
      return Fault(pointer, "allOf with more than one schema is not supported");
    if (schema.contains("type")) {
      const SchemaJson type = schema["type"];
      for (const SchemaJson& branch : branches) {
        const SchemaJson* target = Resolve(branch, root_);
        if (target == nullptr || !target->is_object() || !target->contains("type") ||
            (*target)["type"] != type) {
          return Fault(pointer, absl::StrCat("\"type\" beside \"", keyword,
                                             "\" is not supported: put it into each branch"));
        }
      }
      schema.erase("type");
    }
    SchemaJson& inner = schema[keyword];
    for (size_t i = 0; i < inner.size(); ++i) {
      DR_RETURN_IF_ERROR(Visit(inner[i], absl::StrCat(pointer, "/", keyword, "/", i)));
    }
    if (keyword == "oneOf") {
      for (size_t i = 0; i < inner.size(); ++i) {
        for (size_t j = 0; j < i; ++j) {
          if (!ExcludeEachOther(inner[j], inner[i], root_)) {
            return Fault(pointer,
                         absl::StrCat("oneOf: schemas ", j, " and ", i,
                                      " may accept the same value, which is not supported: use anyOf"));
          }
        }
      }
      SchemaJson any = std::move(inner);
      schema.erase("oneOf");
      schema["anyOf"] = std::move(any);
    }
    return absl::OkStatus();
  }

  absl::Status CheckType(const SchemaJson& type, const std::string& pointer) {
    const auto known = [](const SchemaJson& one) {
      return one.is_string() && IsOneOf(one.get_ref<const std::string&>(), kTypes);
    };
    const bool valid = type.is_array() ? !type.empty() && type.size() <= kTypes.size() &&
                                             std::all_of(type.begin(), type.end(), known)
                                       : known(type);
    return valid
               ? absl::OkStatus()
               : Fault(pointer, absl::StrCat("type is ", Shown(type), ", which is no type or list of types"));
  }

  // Gives a schema without a type the type of its keywords.
  absl::Status SettleType(SchemaJson& schema, const std::string& pointer) {
    if (schema.contains("type")) return CheckType(schema["type"], pointer);
    std::set<std::string> types;
    for (const auto& [name, value] : schema.items()) {
      for (const std::string& type : TypesOf(name)) types.insert(type);
    }
    if (types.size() > 1)
      return Fault(pointer, "\"type\" is missing, and the keywords are those of several types");
    if (!types.empty()) schema["type"] = *types.begin();
    return absl::OkStatus();
  }

  // A member that counts something; `absent` if it is missing.
  absl::StatusOr<int64_t> Count(const SchemaJson& schema, const char* name, int64_t absent,
                                const std::string& pointer) {
    if (!schema.contains(name)) return absent;
    const SchemaJson& value = schema[name];
    if (!value.is_number_integer() || value < 0 || value > kMostCount) {
      return Fault(pointer, absl::StrCat(name, " is ", Shown(value), "; it must be a whole number from 0 to ",
                                         kMostCount));
    }
    return value.get<int64_t>();
  }

  absl::Status Bounds(const SchemaJson& schema, const char* least, const char* most,
                      const std::string& pointer) {
    DR_ASSIGN_OR_RETURN(const int64_t lower, Count(schema, least, 0, pointer));
    DR_ASSIGN_OR_RETURN(const int64_t upper, Count(schema, most, kMostCount, pointer));
    if (lower > upper) return Fault(pointer, absl::StrCat(least, " ", lower, " is above ", most, " ", upper));
    return absl::OkStatus();
  }

  absl::Status Strings(SchemaJson& schema, const std::string& pointer) {
    if (!MayBe(schema, "string")) return absl::OkStatus();
    DR_RETURN_IF_ERROR(Bounds(schema, "minLength", "maxLength", pointer));
    const bool sized = schema.contains("minLength") || schema.contains("maxLength");
    if (schema.contains("format")) {
      const SchemaJson& format = schema["format"];
      if (!format.is_string()) return Fault(pointer, "format must be a string");
      const StringFormat* known = FindStringFormat(format.get_ref<const std::string&>());
      if (known == nullptr) {
        schema.erase("format");  // an annotation
      } else if (sized || schema.contains("pattern")) {
        return Fault(pointer,
                     "\"format\" beside \"minLength\", \"maxLength\" or \"pattern\" is not supported");
      } else if (known->pattern.empty()) {
        DR_RETURN_IF_ERROR(Weigh(known->weight, pointer));
      } else {
        schema.erase("format");
        schema["pattern"] = known->pattern;
      }
    }
    if (schema.contains("pattern")) {
      if (sized) {
        return Fault(pointer, "\"pattern\" beside \"minLength\" or \"maxLength\" is not supported");
      }
      const SchemaJson& pattern = schema["pattern"];
      if (!pattern.is_string()) return Fault(pointer, "pattern must be a string");
      const absl::StatusOr<CheckedRegex> checked =
          CheckRegex(pattern.get_ref<const std::string&>(), RegexPlace::kJsonString);
      if (!checked.ok())
        return Fault(absl::StrCat(pointer, "/pattern"), std::string(checked.status().message()));
      DR_RETURN_IF_ERROR(Weigh(checked->weight, pointer));
      schema["pattern"] = checked->pattern;
    }
    return absl::OkStatus();
  }

  absl::Status Numbers(SchemaJson& schema, const std::string& pointer) {
    if (!MayBe(schema, "number") && !MayBe(schema, "integer")) return absl::OkStatus();
    for (const char* name : {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}) {
      if (!schema.contains(name)) continue;
      const SchemaJson& value = schema[name];
      if (!value.is_number())
        return Fault(pointer, absl::StrCat(name, " is ", Shown(value), "; it must be a number"));
      if (std::abs(value.get<double>()) > 1e15)
        return Fault(pointer, absl::StrCat(name, " is ", Shown(value), "; at most 1e15 is supported"));
      DR_RETURN_IF_ERROR(Weigh(kRangeWeight / 2, pointer));
    }
    if (schema.contains("multipleOf")) {
      const SchemaJson& value = schema["multipleOf"];
      const bool ranged = schema.contains("minimum") || schema.contains("maximum") ||
                          schema.contains("exclusiveMinimum") || schema.contains("exclusiveMaximum");
      if (schema["type"] != "integer" || ranged || !value.is_number_integer() || value < 1 || value > 1024) {
        return Fault(pointer, "multipleOf is supported for integers without a range, from 1 to 1024");
      }
      const auto divisor = value.get<int64_t>();
      DR_RETURN_IF_ERROR(Weigh(divisor * divisor / kMultipleWeight, pointer));
    }
    return absl::OkStatus();
  }

  absl::Status Arrays(SchemaJson& schema, const std::string& pointer) {
    if (!MayBe(schema, "array") || !schema.contains("type")) return absl::OkStatus();
    DR_RETURN_IF_ERROR(Bounds(schema, "minItems", "maxItems", pointer));
    if (!schema.contains("items") && !schema.contains("prefixItems")) schema["items"] = SchemaJson::object();
    if (schema.contains("prefixItems")) {
      SchemaJson& items = schema["prefixItems"];
      if (!items.is_array()) return Fault(pointer, "prefixItems must be an array of schemas");
      for (size_t i = 0; i < items.size(); ++i) {
        if (items[i] == true) items[i] = SchemaJson::object();
        DR_RETURN_IF_ERROR(Visit(items[i], absl::StrCat(pointer, "/prefixItems/", i)));
      }
    }
    if (!schema.contains("items") || schema["items"] == false) return absl::OkStatus();
    return Visit(schema["items"], absl::StrCat(pointer, "/items"));
  }

  absl::Status Objects(SchemaJson& schema, const std::string& pointer) {
    if (!MayBe(schema, "object") || !schema.contains("type")) return absl::OkStatus();
    DR_RETURN_IF_ERROR(Bounds(schema, "minProperties", "maxProperties", pointer));
    if (!schema.contains("properties")) {
      if (!schema.contains("additionalProperties")) schema["additionalProperties"] = true;
      schema["properties"] = SchemaJson::object();
    }
    if (!schema["properties"].is_object()) return Fault(pointer, "properties must be an object of schemas");
    std::set<std::string> required;
    if (schema.contains("required")) {
      if (!schema["required"].is_array()) return Fault(pointer, "required must be an array of names");
      if (std::ssize(schema["required"]) > kMostProperties) {
        return Fault(pointer, absl::StrCat("required has ", schema["required"].size(), " names; the most is ",
                                           kMostProperties));
      }
      for (const SchemaJson& name : schema["required"]) {
        if (!name.is_string()) return Fault(pointer, "required must be an array of names");
        required.insert(name.get<std::string>());
      }
    }
    for (const std::string& name : required) {
      if (schema["properties"].contains(name)) continue;
      if (schema.contains("additionalProperties") && schema["additionalProperties"] == false) {
        return Fault(pointer, absl::StrCat("required names \"", name, "\", which properties does not have"));
      }
      const bool described =
          schema.contains("additionalProperties") && schema["additionalProperties"].is_object();
      const SchemaJson property = described ? schema["additionalProperties"] : SchemaJson::object();
      schema["properties"][name] = property;
    }
    const int64_t properties = std::ssize(schema["properties"]);
    if (properties > kMostProperties)
      return Fault(pointer,
                   absl::StrCat("an object has ", properties, " properties; the most is ", kMostProperties));
    if (const int64_t optional = properties - std::ssize(required); optional > kMostOptional) {
      return Fault(pointer, absl::StrCat("an object has ", optional,
                                         " properties that are not required; the most is ", kMostOptional));
    }
    DR_RETURN_IF_ERROR(VisitMembers(schema["properties"], absl::StrCat(pointer, "/properties")));
    if (!schema.contains("additionalProperties") || schema["additionalProperties"].is_boolean())
      return absl::OkStatus();
    return Visit(schema["additionalProperties"], absl::StrCat(pointer, "/additionalProperties"));
  }

  absl::Status VisitMembers(SchemaJson& schemas, const std::string& pointer) {
    if (!schemas.is_object()) return Fault(pointer, "an object of schemas must stand here");
    for (auto& [name, schema] : schemas.items()) {
      if (std::ssize(name) > kMostNameBytes) {
        return Fault(pointer,
                     absl::StrCat("a name of ", name.size(), " bytes; the most is ", kMostNameBytes));
      }
      const std::string token = absl::StrReplaceAll(name, {{"~", "~0"}, {"/", "~1"}});
      DR_RETURN_IF_ERROR(Visit(schema, absl::StrCat(pointer, "/", token)));
    }
    return absl::OkStatus();
  }

  int64_t& weight_;
  SchemaJson root_;
  std::set<std::string> visited_;  // JSON pointers
  std::set<std::pair<std::string, std::string>>
      references_;  // the pointer that a schema names, and that schema
  int64_t schemas_ = 0, values_ = 0, value_bytes_ = 0;
};

}  // namespace

absl::StatusOr<std::string> CheckSchema(std::string_view schema) {
  int64_t weight = 0;
  return CheckSchema(schema, weight);
}

absl::StatusOr<std::string> CheckSchema(std::string_view schema, int64_t& weight) {
  DR_RETURN_IF_ERROR(CheckText(schema, "the schema"));
  SchemaJson parsed = SchemaJson::parse(schema, nullptr, false);
  if (parsed.is_discarded()) return absl::InvalidArgumentError("the schema is not valid JSON");
  return Checker(std::move(parsed), weight).Check();
}

}  // namespace deeprack::constraint
