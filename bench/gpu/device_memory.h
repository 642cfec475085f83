// Device memory for benchmarks, filled with random bytes that are numbers of moderate size in every type.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/api/matrix.h"
#include "kernels/api/packed_weight.h"

namespace deeprack::bench {

// On an error, prints the card's message and ends the program.
void Check(int cuda_error, const char* what);

struct DeviceFree {
  void operator()(void* p) const;
};
using DeviceMemory = std::unique_ptr<void, DeviceFree>;

// `bytes` of 32-bit words, each of four bytes 0x30 to 0x3f or 0xb0 to 0xbf: finite and of moderate size as
// fp8, bf16 and fp32.
DeviceMemory RandomOnDevice(int64_t bytes);
DeviceMemory OnDevice(const void* from, int64_t bytes);
template <class T>
DeviceMemory OnDevice(const std::vector<T>& values) {
  return OnDevice(values.data(), static_cast<int64_t>(values.size() * sizeof(T)));
}
std::vector<uint8_t> OnHost(const void* from, int64_t bytes);

// Memory that host and device can read, for arguments that both read.
DeviceMemory OnBoth(const void* from, int64_t bytes);

}  // namespace deeprack::bench
