#include "cli/quantize/metadata.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "base/status_macros.h"
#include "cli/quantize/model_metadata.h"
#include "cli/quantize/tokenizer_metadata.h"
#include "model/files/model_files.h"
#include "model/gguf/gguf_model.h"

namespace deeprack::cli {
namespace {

using checkpoint::GgufMetadata;
using model::GgufValue;

// Keys that are not copied: AddModelMetadata writes them, or they describe only the other file.
constexpr std::array<std::string_view, 6> kNotCopied = {
    "general.architecture",         "general.type",     "general.name", "general.file_type",
    "general.quantization_version", "general.alignment"};

// Returns a file's text; "" when the file does not exist.
std::string ReadText(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

absl::Status AddFolder(const std::filesystem::path& folder, const model::ModelConfig& config,
                       GgufMetadata& metadata) {
  if (std::filesystem::exists(folder / "generation_config.json")) {
    DR_ASSIGN_OR_RETURN(const model::GenerationDefaults defaults,
                        model::LoadGenerationDefaults(folder.string()));
    AddSamplingMetadata(defaults, metadata);
  }
  return AddTokenizerMetadata({.tokenizer = ReadText(folder / "tokenizer.json"),
                               .config = ReadText(folder / "tokenizer_config.json"),
                               .chat_template = ReadText(folder / "chat_template.jinja")},
                              config, metadata);
}

// Copies all general and tokenizer entries of `other`, in the order of their keys.
void AddOthers(const model::GgufModel& other, GgufMetadata& metadata) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : other.metadata()) {
    const bool wanted = absl::StartsWith(key, "general.") || absl::StartsWith(key, "tokenizer.");
    if (wanted && std::find(kNotCopied.begin(), kNotCopied.end(), key) == kNotCopied.end())
      keys.push_back(key);
  }
  std::sort(keys.begin(), keys.end());
  for (const std::string& key : keys) metadata.AddValue(key, *other.Find(key));
}

}  // namespace

absl::Status AddMetadata(const std::string& path, const model::ModelConfig& config, QuantType type,
                         GgufMetadata& metadata) {
  std::string name = model::ModelNameOf(path);
  if (!model::IsGgufPath(path)) {
    DR_RETURN_IF_ERROR(AddModelMetadata(config, name, type, metadata));
    return AddFolder(path, config, metadata);
  }
  DR_ASSIGN_OR_RETURN(const model::GgufModel other, model::GgufModel::Open(path));
  const GgufValue* named = other.Find("general.name");
  if (named != nullptr && named->String()) name = *named->String();
  DR_RETURN_IF_ERROR(AddModelMetadata(config, name, type, metadata));
  AddOthers(other, metadata);
  return absl::OkStatus();
}

}  // namespace deeprack::cli
