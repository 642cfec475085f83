#include "model/files/model_files.h"

#include <filesystem>
#include <set>
#include <string_view>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/mapped_file.h"
#include "base/status_macros.h"
#include "model/gguf/gguf_config.h"
#include "model/gguf/gguf_model.h"

namespace deeprack::model {
namespace {

namespace fs = std::filesystem;

std::string_view AsText(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

// What the user can do about a folder without config.json: give a GGUF of the folder, if there is one.
std::string Advice(const std::string& folder) {
  std::set<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (absl::EndsWithIgnoreCase(entry.path().filename().string(), ".gguf")) {
      names.insert(entry.path().filename().string());
    }
  }
  if (names.empty()) return "is this a model folder?";
  return absl::StrCat("the folder holds GGUF files: give one by name, such as ",
                      (fs::path(folder) / *names.begin()).string());
}

template <class T>
absl::StatusOr<T> Named(const std::string& path, absl::StatusOr<T> value) {
  if (value.ok()) return value;
  return absl::Status(value.status().code(), absl::StrCat(path, ": ", value.status().message()));
}

}  // namespace

absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& path) {
  if (IsGgufPath(path)) {
    DR_ASSIGN_OR_RETURN(const GgufModel model, GgufModel::Open(path));
    return ConfigOf(model);
  }
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) {
    return absl::NotFoundError(absl::StrCat(
        path,
        ": no such folder; a Hugging Face model folder with config.json, or a .gguf file, is expected"));
  }
  const std::string file = (fs::path(path) / "config.json").string();
  const absl::StatusOr<MappedFile> text = MappedFile::Open(file);
  if (!text.ok()) return absl::NotFoundError(absl::StrCat(file, ": cannot be read; ", Advice(path)));
  return Named(file, ParseModelConfig(AsText(*text)));
}

absl::StatusOr<GenerationDefaults> LoadGenerationDefaults(const std::string& path) {
  if (IsGgufPath(path)) {
    DR_ASSIGN_OR_RETURN(const GgufModel model, GgufModel::Open(path));
    return GenerationDefaultsOf(model);
  }
  const std::string file = (fs::path(path) / "generation_config.json").string();
  const absl::StatusOr<MappedFile> text = MappedFile::Open(file);
  if (absl::IsNotFound(text.status())) return GenerationDefaults{};
  if (!text.ok()) return text.status();
  return Named(file, ParseGenerationConfig(AsText(*text)));
}

std::string ModelNameOf(const std::string& path) {
  if (IsGgufPath(path)) return GgufModelName(path);
  return fs::weakly_canonical(path).filename().string();
}

}  // namespace deeprack::model
