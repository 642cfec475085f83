// Bounds on what a request may constrain its answer with. They are checked before anything is compiled, so
// that a text which would take the compiler very long is refused in the time that reading the text takes.
#pragma once

#include <cstdint>

namespace deeprack::constraint {

inline constexpr int64_t kMostTextBytes = int64_t{256} << 10;  // a schema, a grammar, a list of choices
inline constexpr int64_t kMostRegexBytes = int64_t{16} << 10;
inline constexpr int32_t kMostDepth = 64;                      // brackets inside brackets
inline constexpr int64_t kMostSchemas = 4096;                  // schemas inside one schema
inline constexpr int64_t kMostMembers = 2048;                  // of one JSON object
inline constexpr int64_t kMostNameBytes = 256;                 // of a property
inline constexpr int64_t kMostReferenceBytes = 1024;           // of a $ref
inline constexpr int64_t kMostBranches = 128;                  // schemas of one anyOf or oneOf
inline constexpr int64_t kMostValues = 1000;                   // values of all `enum` of a schema; choices
inline constexpr int64_t kMostProperties = 1000;               // of one object
inline constexpr int64_t kMostOptional = 100;                  // properties of one object that may be absent
inline constexpr int64_t kMostValueBytes = int64_t{32} << 10;  // of all `enum` of a schema; of all choices
// The weight of a regular expression or a rule with its repetitions written out: "(ab){3,5}" weighs 10.
// Weights follow the time in which the masks of a vocabulary of 129,280 tokens are made: an expression of
// kMostWeight takes about half a second for all masks.
inline constexpr int64_t kMostWeight = 4096;
// Of all parts of a schema, of all rules of a grammar, of all alternatives of an expression: about two
// seconds for all masks.
inline constexpr int64_t kMostTotalWeight = 10 * kMostWeight;
inline constexpr int64_t kDigitWeight = 4;       // a class of digits; any other character weighs 1
inline constexpr int64_t kClassWeight = 32;      // any other class of ASCII characters
inline constexpr int64_t kWideWeight = 256;      // ".", a negated class, a class with other characters
inline constexpr int64_t kMostEmptyRepeats = 8;  // {n,m} of a part that may be empty
inline constexpr int64_t kMostEmptyParts = 32;   // parts, one after the other, that may be empty
// Characters of white space between two parts of JSON. Without a bound, a model may write white space without
// end.
inline constexpr int kMostWhitespace = 16;
inline constexpr int64_t kMostCount = 100000;  // minLength, maxLength, minItems, maxItems, minProperties, ...
// A compiled constraint.
inline constexpr int64_t kMostCompiledBytes = int64_t{64} << 20;

}  // namespace deeprack::constraint
