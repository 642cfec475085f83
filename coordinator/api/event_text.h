// JSON text of stream events, written piece by piece: the same bytes as Dump writes for the same values. An
// event is made for every token, and a Json value of an event takes twenty allocations.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "coordinator/api/generation.h"
#include "coordinator/api/json_fields.h"

namespace deeprack::coordinator {

// Appends a string with its quotes. Invalid UTF-8 becomes U+FFFD.
void AppendJsonString(std::string_view text, std::string& out);

void AppendJsonNumber(int64_t value, std::string& out);

// Appends an array of ids.
void AppendJsonIds(std::span<const TokenId> ids, std::string& out);

// Appends UsageJson(usage).
void AppendUsage(const Usage& usage, std::string& out);

// Appends UsageSoFar(update).
void AppendUsageSoFar(const ChoiceUpdate& update, std::string& out);

// The text of an object without the brace that ends it, for fields that follow.
std::string OpenObject(const Json& object);

}  // namespace deeprack::coordinator
