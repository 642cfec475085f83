// The sources that a model's weights may be read from.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace deeprack::model {

enum class LoadFormat : uint8_t {
  kAuto,   // the files of the model folder, or the GGUF
  kDummy,  // no files: made-up values of the config's shapes (checkpoint/dummy_tensors.h), to try out a rack
};

// The values of --load-format.
inline constexpr const char* kLoadFormatNames[] = {"auto", "dummy"};
inline constexpr char kDefaultLoadFormat[] = "auto";

// InvalidArgument for a name that is not in kLoadFormatNames.
absl::StatusOr<LoadFormat> LoadFormatOf(const std::string& name);

}  // namespace deeprack::model
