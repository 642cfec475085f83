// Text that shows the progress of a long action: a bar on a terminal, a line for every tenth elsewhere. Pure:
// the caller gives the time and writes the text.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "cli/terminal/terminal.h"

namespace deeprack::cli {

class Progress {
 public:
  // `format` makes text of an amount: FormatBytes or FormatCount.
  Progress(std::string label, bool terminal, absl::Time start, std::string (*format)(double) = FormatBytes)
      : label_(std::move(label)), terminal_(terminal), start_(start), format_(format) {}

  // The text to write now: "\r..." on a terminal, a whole line elsewhere, "" when nothing has changed.
  std::string Update(int64_t done, int64_t total, absl::Time now);

  // The text that ends the bar's line; "" when no bar was drawn.
  std::string Finish();

 private:
  std::string label_;
  bool terminal_;
  absl::Time start_;
  std::string (*format_)(double);
  int64_t last_done_ = -1;
  int last_tenth_ = 0;
  bool drawn_ = false;
};

}  // namespace deeprack::cli
