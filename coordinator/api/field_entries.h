// Entries of field tables. Only the files that define tables of fields include this header.
#pragma once

#include <string_view>

#include "coordinator/api/request_fields.h"

namespace deeprack::coordinator {

constexpr RequestField Honoured(std::string_view name, std::string_view type,
                                std::string_view absent = "none", std::string_view range = "",
                                std::string_view note = "") {
  return {.name = name, .type = type, .absent = absent, .range = range, .note = note};
}

constexpr RequestField Label(std::string_view name, std::string_view note = "") {
  return {.name = name, .use = FieldUse::kAccepted, .note = note};
}

// A label whose type the parser checks.
constexpr RequestField TypedLabel(std::string_view name, std::string_view type, std::string_view note = "") {
  return {.name = name, .use = FieldUse::kAccepted, .type = type, .note = note};
}

// `why` completes "NAME is not supported: ". `allowed` as in RequestField.
constexpr RequestField Refused(std::string_view name, std::string_view why,
                               std::string_view allowed = "null") {
  return {.name = name, .use = FieldUse::kRefused, .why = why, .allowed = allowed};
}

// Fields that several tables have.
inline constexpr RequestField kModelField =
    Honoured("model", "string", "the served model", "the served model", "any other name is 404");
inline constexpr RequestField kTemperatureField =
    Honoured("temperature", "number", "the model's `generation_config.json`, else 1", "0 to 2",
             "0 takes the most likely token");
inline constexpr RequestField kTopPField =
    Honoured("top_p", "number", "the model's `generation_config.json`, else 1", "0 to 1",
             "0 takes the most likely token");
inline constexpr RequestField kTopKField =
    Honoured("top_k", "integer", "the model's `generation_config.json`, else 0", "-1 to 2147483647",
             "0 and -1: all tokens");

}  // namespace deeprack::coordinator
