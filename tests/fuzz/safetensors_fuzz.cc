// Fuzzes the safetensors reader. A header is refused, or its tensors lie inside the file and do not overlap.
#include <algorithm>
#include <cstdint>

#include "base/check.h"
#include "checkpoint/safetensors_header.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace deeprack;
  const auto header = checkpoint::ParseSafetensorsHeader({reinterpret_cast<const std::byte*>(data), size},
                                                         "fuzz.safetensors");
  if (!header.ok()) {
    DR_CHECK(absl::IsDataLoss(header.status()) && !header.status().message().empty());
    return 0;
  }
  DR_CHECK(header->data_begin >= 8 && header->data_begin <= static_cast<int64_t>(size));
  const int64_t data_bytes = static_cast<int64_t>(size) - header->data_begin;
  int64_t covered = 0;
  for (const checkpoint::HeaderEntry& tensor : header->tensors) {
    DR_CHECK(tensor.begin == covered && tensor.begin <= tensor.end && tensor.end <= data_bytes);
    DR_CHECK(std::all_of(tensor.shape.begin(), tensor.shape.end(), [](int64_t n) { return n >= 0; }));
    covered = tensor.end;
  }
  DR_CHECK(covered == data_bytes);
  return 0;
}
