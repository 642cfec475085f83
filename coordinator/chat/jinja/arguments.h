// Binds the arguments of a call to the parameters of a built-in function.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/chat/jinja/value.h"

namespace deeprack::coordinator::jinja {

class BoundArguments {
 public:
  // `function` names the function in errors. Errors: InvalidArgument for too many arguments, an unknown name,
  // or a parameter that is given twice.
  static absl::StatusOr<BoundArguments> Bind(std::string_view function, const Arguments& given,
                                             std::initializer_list<std::string_view> parameters);

  bool Has(size_t parameter) const { return values_[parameter].has_value(); }
  const Value& Get(size_t parameter) const { return *values_[parameter]; }

  // Errors: InvalidArgument if the parameter was not given.
  absl::StatusOr<Value> Required(size_t parameter) const;
  // The parameter, or the default if it was not given. Errors: InvalidArgument for another type.
  absl::StatusOr<int64_t> Integer(size_t parameter, int64_t missing) const;
  absl::StatusOr<Text> String(size_t parameter, std::string_view missing) const;
  absl::StatusOr<Text> RequiredString(size_t parameter) const;
  bool Truth(size_t parameter, bool missing) const {
    return Has(parameter) ? IsTrue(Get(parameter)) : missing;
  }

 private:
  std::string function_;
  std::vector<std::string_view> parameters_;
  std::vector<std::optional<Value>> values_;
};

}  // namespace deeprack::coordinator::jinja
