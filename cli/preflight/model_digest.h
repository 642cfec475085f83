// The files of a model on one host: names, sizes and digests.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace deeprack::cli {

struct FileSize {
  std::string name;  // without the folder
  int64_t bytes = 0;
};

// The files of a model that decide what it computes, ordered by name: of a folder *.safetensors, *.json,
// *.jinja and *.model; of a GGUF the file, or all files of its split. NotFound: neither exists.
absl::StatusOr<std::vector<FileSize>> ListModelFiles(const std::string& model);

// SHA-256 of a file that ListModelFiles names. `full`: of all bytes. Else of the size, the first MiB, which
// has the header of most files, and 16 samples of 64 KiB at equal distances, the last at the end; files up to
// 2 MiB are read in full. NotFound: no such file, or a name with a folder. Unavailable: it cannot be read.
absl::StatusOr<std::string> DigestModelFile(const std::string& model, const std::string& name, bool full);

// True for a file that ranks read: weights, their index and config.json.
bool RanksNeed(const std::string& name);

}  // namespace deeprack::cli
