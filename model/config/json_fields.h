// Reads the fields of a JSON object from a file. Checks each field's type and range and keeps the first
// fault.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace deeprack::model {

// Parses `text`, which must be a JSON object of at most 16 MiB in valid UTF-8. InvalidArgument: the message
// begins with `file`.
absl::StatusOr<nlohmann::json> ParseJsonObject(std::string_view text, const std::string& file);

struct IntegerRange {
  int64_t min = 0;
  int64_t max = 0;
};

struct NumberRange {
  double min = 0;
  double max = 0;
  bool with_min = false;  // true: min is inside the range; max always is
};

// A field with the value null counts as absent. After a fault every getter still returns a value (the
// fallback, or a bound of the range), so a reader calls all getters and checks the fault once, at the end.
// `object` and `fault` must outlive the JsonFields.
class JsonFields {
 public:
  // Every message begins with `where`: "config.json" or "config.json: rope_scaling". Several readers may
  // share one `fault`; the first fault stays.
  JsonFields(const nlohmann::json& object, std::string where, absl::Status* fault);

  bool Has(const char* key) const;
  JsonFields Object(const char* key) const;  // the nested object's fields; no fields if absent

  int64_t Integer(const char* key, IntegerRange range);
  int64_t IntegerOr(const char* key, IntegerRange range, int64_t fallback);
  double Number(const char* key, NumberRange range);
  double NumberOr(const char* key, NumberRange range, double fallback);
  bool Bool(const char* key);
  bool BoolOr(const char* key, bool fallback);
  std::string StringOr(const char* key, std::string_view fallback);
  // The field is one integer or an array of integers. Absent: an empty vector.
  std::vector<int64_t> Integers(const char* key, IntegerRange range);

  // Each faults unless the key is absent or has an accepted value.
  void RequireString(const char* key, std::initializer_list<const char*> accepted);
  void RequireBool(const char* key, bool accepted);
  void RequireInteger(const char* key, int64_t accepted, const std::string& why);
  void RequireAbsent(const char* key, const std::string& advice);

  void Fault(const std::string& message);
  bool ok() const { return fault_->ok(); }

 private:
  const nlohmann::json* Find(const char* key) const;  // nullptr: absent or null
  void Missing(const char* key, const std::string& expected);
  void Wrong(const char* key, const std::string& expected);
  int64_t ToInteger(const char* key, const nlohmann::json& value, IntegerRange range);

  const nlohmann::json& object_;
  std::string where_;
  absl::Status* fault_;
};

}  // namespace deeprack::model
