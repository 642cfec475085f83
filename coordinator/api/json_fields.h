// Strict reading of a request's JSON: every field is asked for by name, type and range, and what nobody asked
// for is an error. The first error sticks; reading goes on with defaults, so that callers check once, at the
// end.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>

#include "coordinator/api/api_error.h"
#include "nlohmann/json.hpp"

namespace deeprack::coordinator {

using Json = nlohmann::ordered_json;

// Parses a body that must be one JSON object. Invalid JSON and invalid UTF-8 are 400 with the byte's
// position; nesting deeper than 64 is refused.
std::variant<Json, ApiError> ParseBody(std::string_view body);

class JsonFields {
 public:
  // `path` is put before a field's name in messages ("messages[2]."). `object` must be an object and outlive
  // this.
  JsonFields(const Json& object, std::string path, std::optional<ApiError>* error)
      : object_(object), path_(std::move(path)), error_(*error) {}

  // Each marks the field as known. null counts as absent. The bounds are inclusive.
  const Json* Any(std::string_view name);
  bool Bool(std::string_view name, bool absent);
  int64_t Integer(std::string_view name, int64_t absent, int64_t min, int64_t max);
  double Number(std::string_view name, double absent, double min, double max);
  std::optional<std::string> String(std::string_view name);
  const Json* Array(std::string_view name, size_t max_size);
  const Json* Object(std::string_view name);

  bool Has(std::string_view name) const {
    return object_.contains(name) && !object_.at(std::string(name)).is_null();
  }

  // Names a field that this server knows of but does not honour; any value but null (or `allowed`) is an
  // error.
  void Refuse(std::string_view name, const char* why, const Json& allowed = nullptr);

  // Names the first field that nobody asked for.
  void RefuseUnknown();

  std::string Path(std::string_view name) const { return path_ + std::string(name); }
  void Fail(ApiError error) {
    if (!error_) error_ = std::move(error);
  }
  bool failed() const { return error_.has_value(); }

 private:
  void FailType(std::string_view name, const char* expected, const Json& found);

  const Json& object_;
  std::string path_;
  std::optional<ApiError>& error_;
  std::set<std::string, std::less<>> known_;
};

}  // namespace deeprack::coordinator
