// A mean and its standard error, updated with one value at a time.
#pragma once

#include <cmath>
#include <cstdint>

namespace deeprack::cli {

class Mean {
 public:
  void Add(double value) {
    // Welford's update loses no digits over many values.
    ++count_;
    const double delta = value - mean_;
    mean_ += delta / static_cast<double>(count_);
    squares_ += delta * (value - mean_);
  }

  int64_t count() const { return count_; }
  double value() const { return mean_; }
  // The error of the mean of independent values: sqrt(variance / (count - 1)) with the variance over `count`,
  // as in llama.cpp. 0 for fewer than two values.
  double standard_error() const {
    if (count_ < 2) return 0;
    const double count = static_cast<double>(count_);
    return std::sqrt(squares_ / count / (count - 1));
  }

 private:
  int64_t count_ = 0;
  double mean_ = 0, squares_ = 0;
};

}  // namespace deeprack::cli
