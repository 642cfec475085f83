// The work that one rendering may do.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace deeprack::coordinator::jinja {

class Budget {
 public:
  explicit Budget(int64_t steps) : limit_(steps), left_(steps) {}

  // Errors: ResourceExhausted once more than the limit is spent.
  absl::Status Spend(size_t steps) {
    if (steps <= static_cast<size_t>(left_)) {
      left_ -= static_cast<int64_t>(steps);
      return absl::OkStatus();
    }
    left_ = 0;
    return absl::ResourceExhaustedError(absl::StrCat("the template takes more than ", limit_, " steps"));
  }

 private:
  int64_t limit_, left_;
};

}  // namespace deeprack::coordinator::jinja
