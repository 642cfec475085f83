#include "cli/quantize/quantize_progress.h"

#include <unistd.h>

#include <cstdio>

#include "absl/time/clock.h"
#include "cli/terminal/terminal.h"

namespace deeprack::cli {
namespace {

// Work that ends within this time shows no progress.
constexpr absl::Duration kQuiet = absl::Seconds(2);
constexpr absl::Duration kBetween = absl::Milliseconds(100);  // time between updates of the bar

}  // namespace

QuantizeProgress::QuantizeProgress(int64_t total, std::string (*format)(double))
    : total_(total),
      start_(absl::Now()),
      progress_("quantizing", IsTerminal(STDERR_FILENO), start_, format),
      last_(start_) {}

QuantizeProgress::~QuantizeProgress() { std::fputs(progress_.Finish().c_str(), stderr); }

void QuantizeProgress::Add(int64_t amount) {
  const std::lock_guard lock(mutex_);
  done_ += amount;
  const absl::Time now = absl::Now();
  if (now - start_ < kQuiet || (now - last_ < kBetween && done_ < total_)) return;
  last_ = now;
  std::fputs(progress_.Update(done_, total_, now).c_str(), stderr);
}

}  // namespace deeprack::cli
