#include "tests/parity/golden.h"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "checkpoint/checkpoint_reader.h"
#include "checkpoint/safetensors_file.h"
#include "tests/source_tree.h"

namespace deeprack::parity {
namespace {

const std::string kFolder = InSourceTree("tests/parity/goldens");
const std::string kDemoModel = InSourceTree("demo/model");
const std::string kDemoGolden = InSourceTree("tests/parity/demo_model.safetensors");
constexpr char kFinalNorm[] = "model.norm.weight";

class Reader {
 public:
  Reader(const checkpoint::SafetensorsFile& file, size_t prompt)
      : file_(file), suffix_(absl::StrCat(".", prompt)) {}

  bool Has(const char* kind) const { return file_.Find(kind + suffix_) != nullptr; }

  template <typename T>
  absl::StatusOr<std::vector<T>> Read(const char* kind) const {
    const checkpoint::TensorView* tensor = file_.Find(kind + suffix_);
    if (tensor == nullptr) return absl::NotFoundError(absl::StrCat(file_.path(), " has no ", kind, suffix_));
    if (SizeOf(tensor->dtype) != sizeof(T)) {
      return absl::DataLossError(absl::StrCat(file_.path(), ": ", kind, suffix_, " is of another type"));
    }
    std::vector<T> values(tensor->bytes.size() / sizeof(T));
    std::memcpy(values.data(), tensor->bytes.data(), values.size() * sizeof(T));
    return values;
  }

 private:
  const checkpoint::SafetensorsFile& file_;
  std::string suffix_;
};

std::vector<std::vector<float>> Rows(const std::vector<float>& values, size_t rows) {
  std::vector<std::vector<float>> split;
  const size_t cols = values.size() / rows;
  for (size_t row = 0; row < rows; ++row) {
    split.emplace_back(values.begin() + row * cols, values.begin() + (row + 1) * cols);
  }
  return split;
}

absl::StatusOr<MtpGoldenPrompt> ReadMtpPrompt(const Reader& reader) {
  MtpGoldenPrompt prompt;
  DR_ASSIGN_OR_RETURN(prompt.tokens, reader.Read<TokenId>("tokens"));
  DR_ASSIGN_OR_RETURN(prompt.clear, reader.Read<uint8_t>("clear"));
  DR_ASSIGN_OR_RETURN(prompt.draft_clear, reader.Read<uint8_t>("draft_clear"));
  DR_ASSIGN_OR_RETURN(prompt.drafts, reader.Read<TokenId>("drafts"));
  DR_ASSIGN_OR_RETURN(prompt.drafts_clear, reader.Read<uint8_t>("drafts_clear"));
  DR_ASSIGN_OR_RETURN(const std::vector<float> logits, reader.Read<float>("logits"));
  DR_ASSIGN_OR_RETURN(const std::vector<float> draft_logits, reader.Read<float>("draft_logits"));
  prompt.logits = Rows(logits, prompt.clear.size());
  prompt.draft_logits = Rows(draft_logits, prompt.draft_clear.size());
  return prompt;
}

absl::StatusOr<GoldenPrompt> ReadPrompt(const Reader& reader) {
  GoldenPrompt prompt;
  DR_ASSIGN_OR_RETURN(prompt.tokens, reader.Read<TokenId>("prompt"));
  DR_ASSIGN_OR_RETURN(const std::vector<float> logits, reader.Read<float>("logits"));
  prompt.logits = Rows(logits, prompt.tokens.size());
  DR_ASSIGN_OR_RETURN(prompt.greedy, reader.Read<TokenId>("greedy"));
  if (!reader.Has("bf16_logits")) return prompt;
  DR_ASSIGN_OR_RETURN(prompt.bf16_logits, reader.Read<float>("bf16_logits"));
  DR_ASSIGN_OR_RETURN(prompt.bf16_greedy, reader.Read<TokenId>("bf16_greedy"));
  DR_ASSIGN_OR_RETURN(prompt.bf16_clear, reader.Read<uint8_t>("bf16_clear"));
  return prompt;
}

absl::Status ReadPrompts(const checkpoint::SafetensorsFile& file, Golden* golden) {
  for (size_t i = 0; Reader(file, i).Has("prompt"); ++i) {
    DR_ASSIGN_OR_RETURN(GoldenPrompt prompt, ReadPrompt(Reader(file, i)));
    golden->prompts.push_back(std::move(prompt));
  }
  if (golden->prompts.empty()) return absl::DataLossError(absl::StrCat(file.path(), " holds no prompt"));
  return absl::OkStatus();
}

}  // namespace

std::vector<std::string> GoldenNames() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<Golden> LoadGolden(const std::string& name) {
  Golden golden = {.name = name, .folder = absl::StrCat(kFolder, "/", name)};
  DR_ASSIGN_OR_RETURN(const checkpoint::SafetensorsFile file,
                      checkpoint::SafetensorsFile::Open(golden.folder + "/golden.safetensors"));
  DR_RETURN_IF_ERROR(ReadPrompts(file, &golden));
  const absl::StatusOr<checkpoint::CheckpointReader> model =
      checkpoint::CheckpointReader::Open(golden.folder);
  DR_RETURN_IF_ERROR(model.status());
  golden.has_experts = false;
  for (int layer = 0; model->Find(absl::StrCat("model.layers.", layer, ".input_layernorm.weight")); ++layer) {
    golden.has_experts |= model->Find(absl::StrCat("model.layers.", layer, ".mlp.gate.weight")) != nullptr;
  }
  return golden;
}

absl::StatusOr<std::vector<MtpGoldenPrompt>> LoadMtpGolden(const Golden& golden) {
  DR_ASSIGN_OR_RETURN(const checkpoint::SafetensorsFile file,
                      checkpoint::SafetensorsFile::Open(golden.folder + "/mtp.safetensors"));
  std::vector<MtpGoldenPrompt> prompts;
  for (size_t i = 0; i < golden.prompts.size(); ++i) {
    DR_ASSIGN_OR_RETURN(MtpGoldenPrompt prompt, ReadMtpPrompt(Reader(file, i)));
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

absl::StatusOr<Golden> LoadDemoGolden() {
  Golden golden = {.name = "demo", .folder = kDemoModel};
  DR_ASSIGN_OR_RETURN(const checkpoint::SafetensorsFile file, checkpoint::SafetensorsFile::Open(kDemoGolden));
  DR_ASSIGN_OR_RETURN(const checkpoint::CheckpointReader model,
                      checkpoint::CheckpointReader::Open(kDemoModel));
  DR_ASSIGN_OR_RETURN(const checkpoint::TensorView norm, model.Get(kFinalNorm));
  const checkpoint::TensorView* golden_norm = file.Find(kFinalNorm);
  if (golden_norm == nullptr || !std::ranges::equal(golden_norm->bytes, norm.bytes)) {
    return absl::FailedPreconditionError(absl::StrCat(
        kDemoGolden, " is of another training than demo/model: run tests/parity/make_goldens.py --demo"));
  }
  DR_RETURN_IF_ERROR(ReadPrompts(file, &golden));
  return golden;
}

}  // namespace deeprack::parity
