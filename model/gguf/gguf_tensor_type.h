// The types of tensors in a GGUF file (ggml_type of https://github.com/ggml-org/ggml), and which DTypes they
// are.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/dtype.h"

namespace deeprack::model {

// The name of the type with this number in the file ("Q4_K", "IQ4_XS", "139 (of ik_llama.cpp)"). "": no type
// has the number.
std::string GgufTensorTypeName(uint32_t type);

// The DType of the type with this number. nullopt: the type is not a DType.
std::optional<DType> GgufTensorDType(uint32_t type);

// The number of a DType in a file. nullopt: GGUF has no such type.
std::optional<uint32_t> GgufTensorTypeOf(DType dtype);

std::string SupportedGgufTensorTypes();  // "F32, F16, Q4_0, ..."

}  // namespace deeprack::model
