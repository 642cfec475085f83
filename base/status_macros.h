// DR_RETURN_IF_ERROR returns the status from the calling function if the status is an error.
// DR_ASSIGN_OR_RETURN assigns the value of a StatusOr to `target`, or returns its error from the calling
// function.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define DR_RETURN_IF_ERROR(expression)                     \
  do {                                                     \
    if (absl::Status dr_status = (expression); !dr_status.ok()) return dr_status; \
  } while (false)

#define DR_CONCAT_INNER(a, b) a##b
#define DR_CONCAT(a, b) DR_CONCAT_INNER(a, b)
#define DR_ASSIGN_OR_RETURN(target, expression) DR_ASSIGN_OR_RETURN_IMPL(DR_CONCAT(dr_result_, __LINE__), target, expression)
#define DR_ASSIGN_OR_RETURN_IMPL(result, target, expression) \
  auto result = (expression);                                \
  if (!result.ok()) return std::move(result).status();       \
  target = std::move(result).value()
