// The types that a tensor of a GGUF file may have (ggml_type of https://github.com/ggml-org/ggml), and the
// DTypes that some of them are.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/dtype.h"

namespace deeprack::model {

// The name of a type by its number in the file ("Q4_K", "IQ4_XS", "139 (of ik_llama.cpp)"); "" if no type has
// the number.
std::string GgufTensorTypeName(uint32_t type);

// nullopt: the type is not one of the DTypes.
std::optional<DType> GgufTensorDType(uint32_t type);

// The number that stands for a DType in a file; nullopt if GGUF has none.
std::optional<uint32_t> GgufTensorTypeOf(DType dtype);

std::string SupportedGgufTensorTypes();  // "F32, F16, Q4_0, ..."

}  // namespace deeprack::model
