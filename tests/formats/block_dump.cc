// Runs the conversions of base/block_formats.h and base/quantize as a filter, for the comparison with the
// `gguf` package (test_block_formats.py).
//   block_dump dequantize TYPE < blocks > floats
//   block_dump quantize TYPE < floats > blocks
//   block_dump to_f16 < floats > halves
//   block_dump finite TYPE < blocks > bytes      one byte for each block: 1 if all its values are finite
#include <cstdio>
#include <iostream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "base/block_formats.h"
#include "base/quantize/block_quantize.h"

namespace {

using deeprack::BlockBytes;
using deeprack::BlockElements;
using deeprack::DType;

constexpr DType kTypes[] = {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0,
                            DType::kQ2K,  DType::kQ3K,  DType::kQ4K,  DType::kQ5K,  DType::kQ6K};

template <class T>
int Write(const std::vector<T>& values) {
  std::cout.write(reinterpret_cast<const char*>(values.data()),
                  static_cast<std::streamsize>(values.size() * sizeof(T)));
  return std::cout.flush() ? 0 : 74;
}

int Dequantize(DType type, const std::string& blocks) {
  const auto count = static_cast<int64_t>(blocks.size()) / BlockBytes(type);
  std::vector<float> values(static_cast<size_t>(count * BlockElements(type)));
  deeprack::Dequantize(type, blocks.data(), count * BlockElements(type), values.data());
  return Write(values);
}

int Finite(DType type, const std::string& blocks) {
  std::vector<char> finite;
  for (size_t at = 0; at < blocks.size(); at += static_cast<size_t>(BlockBytes(type))) {
    finite.push_back(deeprack::BlocksAreFinite(type, blocks.data() + at, BlockElements(type)) ? 1 : 0);
  }
  return Write(finite);
}

std::vector<float> Floats(const std::string& bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  bytes.copy(reinterpret_cast<char*>(values.data()), values.size() * sizeof(float));
  return values;
}

int Quantize(DType type, const std::string& bytes) {
  const std::vector<float> values = Floats(bytes);
  const auto count = static_cast<int64_t>(values.size());
  std::vector<char> blocks(static_cast<size_t>(deeprack::BytesOf(type, count)));
  deeprack::Quantize(type, values.data(), count, blocks.data());
  return Write(blocks);
}

int ToF16(const std::string& bytes) {
  std::vector<deeprack::f16> halves;
  for (float value : Floats(bytes)) halves.push_back(deeprack::ToF16(value));
  return Write(halves);
}

}  // namespace

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  const std::string_view command = argc > 1 ? argv[1] : "";
  const std::string_view type_name = argc > 2 ? argv[2] : "";
  const std::string input{std::istreambuf_iterator<char>(std::cin), {}};
  if (command == "to_f16") return ToF16(input);
  for (DType type : kTypes) {
    if (deeprack::Name(type) != type_name) continue;
    if (command == "dequantize") return Dequantize(type, input);
    if (command == "quantize") return Quantize(type, input);
    if (command == "finite") return Finite(type, input);
  }
  std::fputs(
      "usage: block_dump dequantize|quantize|finite TYPE, or block_dump to_f16; data on standard input\n",
      stderr);
  return 64;
}
