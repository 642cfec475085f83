// The fields that a body of /v1/responses may have. docs/API.md has a table of the same fields under each
// heading; tests/unit/api/api_page_test.cc compares.
#pragma once

#include <span>

#include "coordinator/api/request_fields.h"

namespace deeprack::coordinator {

extern const RequestObject kResponsesRequest;
extern const RequestObject kMessageItem, kFunctionCallItem, kFunctionOutputItem, kReasoningItem,
    kItemReference;
extern const RequestObject kTextPart, kFunctionTool, kReasoningOptions, kTextOptions, kTextFormat;

// Every table of /v1/responses, once.
std::span<const FieldTable* const> ResponsesFieldTables();

}  // namespace deeprack::coordinator
