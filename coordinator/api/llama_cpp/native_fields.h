// The fields that a body of llama.cpp's /completion may have. docs/API.md has a table of the same fields;
// tests/unit/api/api_page_test.cc compares.
#pragma once

#include "coordinator/api/request_fields.h"

namespace deeprack::coordinator::llama_cpp {

extern const RequestObject kNativeRequest;

// Every table of this folder, once.
std::span<const FieldTable* const> NativeFieldTables();

}  // namespace deeprack::coordinator::llama_cpp
