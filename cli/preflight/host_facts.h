// What an agent says of its host: memory, limits, huge pages, disk and cards.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace deeprack::preflight {
class DescribeRequest;
class HostReport;
}  // namespace deeprack::preflight

namespace deeprack::cli {

// Fills everything but the versions and the data port. Takes up to some seconds where nvidia-smi is there.
void DescribeHost(const preflight::DescribeRequest& request, preflight::HostReport& report);

// The chosen word of a file such as "always [madvise] never"; "" when there is none.
std::string ChosenWord(absl::string_view text);

// Adds the cards of nvidia-smi's lines "number, name, total MiB, free MiB". False: a line is not of this
// form.
bool ReadCards(absl::string_view lines, preflight::HostReport& report);

}  // namespace deeprack::cli
