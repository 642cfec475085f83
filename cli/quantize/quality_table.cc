#include "cli/quantize/quality_table.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "cli/quantize/quant_type.h"
#include "cli/terminal/fail.h"
#include "cli/terminal/terminal.h"

namespace deeprack::cli {
namespace {

struct Column {
  const char* name;
  int width;
  bool is_number;
};
constexpr Column kColumns[] = {{"type", 6, false},
                               {"size", 10, true},
                               {"% of F16", 8, true},
                               {"perplexity", 21, false},
                               {"delta", 22, false}};

// The destructor removes the file, if it exists.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::string path) : path_(std::move(path)) {}
  TemporaryFile(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

// The types in the table's order, F16 first.
absl::StatusOr<std::vector<std::string>> TypesOf(const QualityTableOptions& options) {
  std::vector<std::string> types = {std::string(Name(QuantType::kF16))};
  const auto add = [&](QuantType type) {
    const std::string name(Name(type));
    if (std::find(types.begin(), types.end(), name) == types.end()) types.push_back(name);
  };
  if (options.types.empty()) {
    for (const QuantType type : AllQuantTypes()) add(type);
  }
  for (const std::string& name : options.types) {
    const std::optional<QuantType> type = QuantTypeFromName(name);
    if (!type) {
      return absl::InvalidArgumentError(
          absl::StrCat("--types ", name, " is unknown; there are: ", QuantTypeNames()));
    }
    add(*type);
  }
  return types;
}

absl::StatusOr<std::string> FolderOf(const QualityTableOptions& options) {
  std::error_code error;
  const std::filesystem::path folder = options.folder.empty() ? std::filesystem::temp_directory_path(error)
                                                              : std::filesystem::path(options.folder);
  if (!error && std::filesystem::is_directory(folder, error)) return folder.string();
  return absl::FailedPreconditionError(
      absl::StrCat(folder.string(), ": not a folder, and --table writes its files to one"));
}

}  // namespace

std::string QualityTableHead() {
  std::string names = "|", rule = "|";
  for (const Column& column : kColumns) {
    absl::StrAppendFormat(&names, " %*s |", column.is_number ? column.width : -column.width, column.name);
    absl::StrAppend(&rule, std::string(static_cast<size_t>(column.width) + 1, '-'),
                    column.is_number ? ":|" : "-|");
  }
  return absl::StrCat(names, "\n", rule, "\n");
}

std::string QualityTableRow(const QualityRow& row) {
  const double share = static_cast<double>(row.bytes) / static_cast<double>(row.f16_bytes);
  const std::string cells[] = {
      row.type, FormatBytes(static_cast<double>(row.bytes)), absl::StrFormat("%.1f", 100 * share),
      absl::StrFormat("%.6f +/- %.6f", row.perplexity, row.perplexity_error),
      row.delta ? absl::StrFormat("%+.6f +/- %.6f", row.delta->value, row.delta->error) : ""};
  std::string line = "|";
  for (size_t i = 0; i < std::size(cells); ++i) {
    const Column& column = kColumns[i];
    absl::StrAppendFormat(&line, " %*s |", column.is_number ? column.width : -column.width, cells[i]);
  }
  return line + "\n";
}

PerplexityDelta DeltaOf(const PerplexityResult& base, const PerplexityResult& other) {
  DR_CHECK(base.losses.size() == other.losses.size());
  Mean differences;
  for (size_t i = 0; i < base.losses.size(); ++i) {
    differences.Add(static_cast<double>(other.losses[i]) - static_cast<double>(base.losses[i]));
  }
  return {.value = other.perplexity() - base.perplexity(),
          .error = other.perplexity() * differences.standard_error()};
}

int QualityTable(const QualityTableOptions& options, const Settings& serve) {
  const auto types = TypesOf(options);
  if (!types.ok()) return FailByFlags(types.status());
  const auto folder = FolderOf(options);
  if (!folder.ok()) return FailByFlags(folder.status());
  std::optional<PerplexityResult> f16;
  int64_t f16_bytes = 0;
  for (const std::string& type : *types) {
    const TemporaryFile file(absl::StrCat(*folder, "/deeprack-", getpid(), "-", type, ".gguf"));
    const QuantizeOptions quantize = {.in = options.in,
                                      .out = file.path(),
                                      .type = type,
                                      .threads = options.threads,
                                      .without_mtp = options.without_mtp};
    if (const auto said = RunQuantize(quantize); !said.ok()) return FailByFlags(said.status());
    QualityRow row = {.type = type, .bytes = static_cast<int64_t>(std::filesystem::file_size(file.path()))};

    Settings with = serve;
    with.model = file.path();
    PerplexityResult result;
    if (const int exit_code = MeasurePerplexity(options.perplexity, with, result); exit_code != 0) {
      return exit_code;
    }
    row.perplexity = result.perplexity();
    row.perplexity_error = result.perplexity_error();
    if (!f16.has_value()) {
      f16_bytes = row.bytes;
      std::fputs(QualityTableHead().c_str(), stdout);
      f16 = std::move(result);
    } else {
      row.delta = DeltaOf(*f16, result);
    }
    row.f16_bytes = f16_bytes;
    std::fputs(QualityTableRow(row).c_str(), stdout);
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace deeprack::cli
