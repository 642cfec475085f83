// Checks a JSON schema before it is compiled, and rewrites the schema so that the compiler keeps all of its
// promises: the compiler drops what it does not know.
//
// Supported keywords: type, properties, required, additionalProperties, items, prefixItems, minItems,
// maxItems, minProperties, maxProperties, enum, const, anyOf, oneOf whose branches exclude each other, allOf
// with one schema, $ref inside the schema, minLength, maxLength, pattern (constraint/regex_check.h), format,
// minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf of integers, and annotations such as
// title.
//
// Where the schema leaves more than one reading, the narrower reading is taken, whose texts the schema
// accepts:
// - An object has no properties but those of `properties`, unless `additionalProperties` says otherwise or
//   there are no `properties`. Properties come in the order of the schema.
// - A schema without `type` has the type that its keywords are for.
// - A pattern matches the whole string.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace deeprack::constraint {

// The schema for the compiler. Adds the schema's weight to `weight`, the weight of what is compiled with the
// schema. Errors: InvalidArgument: the message begins with the place, as in "properties.name.pattern", and
// names what is not supported, or the bound (constraint/limits.h).
absl::StatusOr<std::string> CheckSchema(std::string_view schema, int64_t& weight);
absl::StatusOr<std::string> CheckSchema(std::string_view schema);

}  // namespace deeprack::constraint
