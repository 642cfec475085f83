// Strict reading of a request's JSON. A parser asks for every field by name, type and range; a field that is
// not in the object's table is an error, unless the server ignores such fields. The first error is kept, and
// reading goes on with defaults, so that a parser checks for an error once, at the end.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "coordinator/api/api_error.h"
#include "coordinator/api/request_fields.h"
#include "nlohmann/json.hpp"

namespace deeprack::coordinator {

using Json = nlohmann::ordered_json;

// Parses a body that must be one JSON object. Errors: 400 with the position of the byte for invalid JSON,
// invalid UTF-8, and nesting deeper than 64 levels.
std::variant<Json, ApiError> ParseBody(std::string_view body);

// The shortest number that stands for the same float: 0.1 for 0.1f, and not 0.10000000149.
Json DecimalJson(float value);

// The fields of a body that no table has.
struct UnknownFields {
  bool ignore = false;  // false: an unknown field is an error
  int64_t ignored = 0;  // number of unknown fields that the parser has ignored
};

class JsonFields {
 public:
  // `kind` lists the fields of `object`, which must be a JSON object and outlive this. `path` stands before a
  // field's name in messages ("messages[2]."). Without `unknown`, unknown fields are errors.
  JsonFields(const Json& object, const RequestObject& kind, std::string path, std::optional<ApiError>* error,
             UnknownFields* unknown = nullptr)
      : object_(object), kind_(kind), path_(std::move(path)), error_(*error), unknown_(unknown) {}

  // An object inside `parent`'s object: errors and ignored fields go where the errors and ignored
  // fields of `parent` go.
  JsonFields(const Json& object, const RequestObject& kind, std::string path, JsonFields& parent)
      : object_(object),
        kind_(kind),
        path_(std::move(path)),
        error_(parent.error_),
        unknown_(parent.unknown_) {}

  // Each reads one field of `kind`. null counts as absent. The bounds are inclusive.
  const Json* Any(std::string_view name);
  bool Bool(std::string_view name, bool absent);
  int64_t Integer(std::string_view name, int64_t absent, int64_t min, int64_t max);
  double Number(std::string_view name, double absent, double min, double max);
  std::optional<std::string> String(std::string_view name);
  const Json* Array(std::string_view name, size_t max_size);
  const Json* Object(std::string_view name);

  // As String, and an absent field is an error.
  std::string RequiredString(std::string_view name);

  bool Has(std::string_view name) const { return Find(name) != nullptr; }

  // False, and an error, unless `value`, which stands at `path` inside this object, is an object.
  bool IsObject(const Json& value, const std::string& path);

  // Fails with the first field that `kind` refuses, then with the first that `kind` does not have, unless
  // unknown fields are labels there or are ignored.
  void RefuseOthers();

  std::string Path(std::string_view name) const { return path_ + std::string(name); }
  void Fail(ApiError error) {
    if (!error_) error_ = std::move(error);
  }
  bool failed() const { return error_.has_value(); }

 private:
  const Json* Find(std::string_view name) const;  // nullptr: absent or null
  void FailType(std::string_view name, const char* expected, const Json& found);

  void RefuseUnsupported(const FieldTable* table);

  const Json& object_;
  const RequestObject& kind_;
  std::string path_;
  std::optional<ApiError>& error_;
  UnknownFields* unknown_;
};

// Reads a request's whole body, an object of `kind`. A body that ParseBody refuses fails with ParseBody's
// error, and has no fields.
class BodyReader {
 public:
  BodyReader(std::string_view body, const RequestObject& kind, bool ignore_unknown);
  BodyReader(const BodyReader&) = delete;

  JsonFields& fields() { return fields_; }
  const std::optional<ApiError>& error() const { return error_; }
  int64_t ignored() const { return unknown_.ignored; }  // number of unknown fields

 private:
  Json object_;
  std::optional<ApiError> error_;
  UnknownFields unknown_;
  JsonFields fields_;
};

}  // namespace deeprack::coordinator
