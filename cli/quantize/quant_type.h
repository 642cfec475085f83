// The values of `deeprack quantize --type` for GGUF files. The names are llama.cpp's, each for a mixture of
// types: "Q4_K_M" is mostly Q4_K.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace deeprack::cli {

// clang-format off
enum class QuantType : uint8_t {
  kF16, kBF16, kQ8_0, kQ6K, kQ5KM, kQ5KS, kQ4KM, kQ4KS, kQ3KL, kQ3KM, kQ3KS, kQ2K, kQ2KS,
};
// clang-format on

std::string_view Name(QuantType type);
std::optional<QuantType> QuantTypeFromName(std::string_view name);  // the name in upper or lower case
std::string QuantTypeNames();                                       // "F16, BF16, ..."
std::vector<QuantType> AllQuantTypes();                             // ordered by size, the largest first

// llama.cpp's number of the mixture (llama_ftype), for general.file_type.
uint32_t GgufFileType(QuantType type);

}  // namespace deeprack::cli
