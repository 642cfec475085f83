// The progress of `deeprack quantize` on standard error.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include "absl/time/time.h"
#include "cli/terminal/progress.h"

namespace deeprack::cli {

// Nothing is shown in the first two seconds. Thread-safe.
class QuantizeProgress {
 public:
  // `format` makes text of an amount: FormatBytes or FormatCount.
  QuantizeProgress(int64_t total, std::string (*format)(double));
  ~QuantizeProgress();  // ends the bar's line
  QuantizeProgress(const QuantizeProgress&) = delete;
  QuantizeProgress& operator=(const QuantizeProgress&) = delete;

  void Add(int64_t amount);

 private:
  const int64_t total_;
  const absl::Time start_;
  std::mutex mutex_;
  Progress progress_;
  absl::Time last_;
  int64_t done_ = 0;
};

}  // namespace deeprack::cli
