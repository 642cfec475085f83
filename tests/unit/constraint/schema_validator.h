// A validator of JSON for the keywords that constraint/schema_check.h supports, apart from `format`.
#pragma once

#include "nlohmann/json.hpp"

namespace deeprack::constraint {

bool Validates(const nlohmann::json& value, const nlohmann::json& schema, const nlohmann::json& root);

}  // namespace deeprack::constraint
