// Times, rates and sizes as text for people.
#pragma once

#include <cstdint>
#include <string>

namespace deeprack::cli {

// "85 us", "1.2 ms", "3.00 s".
std::string TimeText(double seconds);
// "12.4 GB/s", "2.4 MB/s": powers of ten, as networks are sold.
std::string RateText(double bytes_per_second);
// "1.5 GiB": FormatBytes of a whole number.
std::string BytesText(int64_t bytes);

}  // namespace deeprack::cli
