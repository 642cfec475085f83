#include "model/files/load_format.h"

#include "absl/strings/str_cat.h"

namespace deeprack::model {

absl::StatusOr<LoadFormat> LoadFormatOf(const std::string& name) {
  if (name == "auto") return LoadFormat::kAuto;
  if (name == "dummy") return LoadFormat::kDummy;
  return absl::InvalidArgumentError(absl::StrCat("load format '", name, "' is unknown: use auto or dummy"));
}

}  // namespace deeprack::model
