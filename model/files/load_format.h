// What a model's weights are read from.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace deeprack::model {

enum class LoadFormat : uint8_t {
  kAuto,   // the files of the model folder, or the GGUF
  kDummy,  // nothing: values made up by the config (checkpoint/dummy_tensors.h), for trying a rack
};

// As --load-format has them.
inline constexpr const char* kLoadFormatNames[] = {"auto", "dummy"};
inline constexpr char kDefaultLoadFormat[] = "auto";

// InvalidArgument: none of the names.
absl::StatusOr<LoadFormat> LoadFormatOf(const std::string& name);

}  // namespace deeprack::model
