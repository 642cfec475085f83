// Compares schemas with each other: whether two branches of `oneOf` can accept the same value.
#pragma once

#include <string_view>

#include "nlohmann/json.hpp"

namespace deeprack::constraint {

using SchemaJson = nlohmann::ordered_json;

// The schema that `schema` stands for, through its $ref's; null if a $ref leads nowhere or in a circle.
const SchemaJson* Resolve(const SchemaJson& schema, const SchemaJson& root);

// True if `value` is of `type`, the member `type` of a schema.
bool HasType(const SchemaJson& value, const SchemaJson& type);

// True if `schema`, by its member `type`, may be a `type`.
bool MayBe(const SchemaJson& schema, std::string_view type);

// True if no value is accepted by both: their types differ, their values differ, or a property that both
// require has schemas that exclude each other. False if that is not certain.
bool ExcludeEachOther(const SchemaJson& a, const SchemaJson& b, const SchemaJson& root);

}  // namespace deeprack::constraint
