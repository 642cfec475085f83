#include "coordinator/chat/jinja/arguments.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace deeprack::coordinator::jinja {
absl::StatusOr<BoundArguments> BoundArguments::Bind(std::string_view function, const Arguments& given,
                                                    std::initializer_list<std::string_view> parameters) {
  BoundArguments bound;
  bound.function_ = function;
  bound.parameters_ = parameters;
  bound.values_.resize(parameters.size());
  if (given.positional.size() > parameters.size()) {
    return absl::InvalidArgumentError(absl::StrCat(View(function), "() takes ", parameters.size(),
                                                   " arguments, not ", given.positional.size()));
  }
  std::copy(given.positional.begin(), given.positional.end(), bound.values_.begin());
  for (const auto& [name, value] : given.named) {
    const auto found = std::find(parameters.begin(), parameters.end(), name);
    if (found == parameters.end()) {
      return absl::InvalidArgumentError(absl::StrCat(View(function), "() has no argument '", name, "'"));
    }
    std::optional<Value>& place = bound.values_[static_cast<size_t>(found - parameters.begin())];
    if (place) return absl::InvalidArgumentError(absl::StrCat(View(function), "() got '", name, "' twice"));
    place = value;
  }
  return bound;
}

absl::StatusOr<Value> BoundArguments::Required(size_t parameter) const {
  if (Has(parameter)) return Get(parameter);
  return absl::InvalidArgumentError(
      absl::StrCat(function_, "() lacks the argument '", View(parameters_[parameter]), "'"));
}

absl::StatusOr<int64_t> BoundArguments::Integer(size_t parameter, int64_t missing) const {
  if (!Has(parameter) || Get(parameter).is_none()) return missing;
  if (Get(parameter).is_integral()) return Get(parameter).integer();
  return absl::InvalidArgumentError(absl::StrCat(function_, "(): '", View(parameters_[parameter]),
                                                 "' must be an integer, not ", TypeName(Get(parameter))));
}

absl::StatusOr<Text> BoundArguments::String(size_t parameter, std::string_view missing) const {
  if (!Has(parameter)) return Text(std::string(missing), Origin::kTemplate);
  if (Get(parameter).is_string()) return Get(parameter).text();
  if (Get(parameter).is_undefined()) return absl::InvalidArgumentError(Get(parameter).why());
  return absl::InvalidArgumentError(absl::StrCat(function_, "(): '", View(parameters_[parameter]),
                                                 "' must be a str, not ", TypeName(Get(parameter))));
}

absl::StatusOr<Text> BoundArguments::RequiredString(size_t parameter) const {
  DR_RETURN_IF_ERROR(Required(parameter).status());
  return String(parameter, "");
}

}  // namespace deeprack::coordinator::jinja
