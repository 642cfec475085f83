// Colours of the terminal, and numbers as text for people.
#pragma once

#include <cstdint>
#include <string>

namespace deeprack::cli {

struct Style {
  bool colours = false;
  const char* dim() const { return colours ? "\x1b[2m" : ""; }
  const char* bold() const { return colours ? "\x1b[1m" : ""; }
  const char* reset() const { return colours ? "\x1b[0m" : ""; }
};

bool IsTerminal(int fd);
// Colours when standard output is a terminal and NO_COLOR (https://no-color.org) is not set.
Style StyleOfStandardOutput();

// "1.5 GiB", "512 B".
std::string FormatBytes(double bytes);
// "12", "3.4".
std::string FormatCount(double count);
// "1.50 ms", "23.4 ms", "1.20 s"; "-" for NaN.
std::string FormatSeconds(double seconds);
// "3.42", "123.4"; "-" for NaN.
std::string FormatRate(double rate);
// "1 rank", "8 ranks".
std::string FormatRanks(int64_t ranks);

}  // namespace deeprack::cli
