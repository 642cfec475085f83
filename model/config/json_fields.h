// Reading the fields of a JSON object that came from outside: each with its type and range, the first fault
// kept.
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

// Parses `text`, which must be a JSON object of at most 16 MiB in valid UTF-8. InvalidArgument names `file`.
absl::StatusOr<nlohmann::json> ParseJsonObject(std::string_view text, const std::string& file);

struct IntegerRange {
  int64_t min = 0;
  int64_t max = 0;
};

struct NumberRange {
  double min = 0;
  double max = 0;
  bool with_min = false;  // whether min itself is inside; max is
};

// A null value counts as absent. After a fault every getter still returns a value (the fallback, or a bound
// of the range), so that a reader is straight-line code that looks at `fault` once. The object and the fault
// must outlive it.
class JsonFields {
 public:
  // `where` stands before every message: "config.json" or "config.json: rope_scaling". Faults of several
  // readers may go to one status; the first one stays.
  JsonFields(const nlohmann::json& object, std::string where, absl::Status* fault);

  bool Has(const char* key) const;
  JsonFields Object(const char* key) const;  // the fields of a nested object; an empty one if it is none

  int64_t Integer(const char* key, IntegerRange range);
  int64_t IntegerOr(const char* key, IntegerRange range, int64_t fallback);
  double Number(const char* key, NumberRange range);
  double NumberOr(const char* key, NumberRange range, double fallback);
  bool Bool(const char* key);
  bool BoolOr(const char* key, bool fallback);
  std::string StringOr(const char* key, std::string_view fallback);
  // One integer or an array of them; empty when absent.
  std::vector<int64_t> Integers(const char* key, IntegerRange range);

  // Faults unless the key is absent or holds what this program computes.
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
