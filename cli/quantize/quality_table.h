// `deeprack quantize --table`: a table of a model's size and perplexity with each type. For every type the
// model is written to a file, measured as by `deeprack perplexity`, and removed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/perplexity/perplexity.h"
#include "cli/quantize/quantize.h"
#include "settings/settings.h"

namespace deeprack::cli {

struct QualityTableOptions {
  std::string in;      // a Hugging Face folder or a GGUF
  std::string folder;  // for the files while they are measured; "": the system's temporary folder
  // Names of types; empty: all. F16 is always measured first and compared with the others.
  std::vector<std::string> types;
  PerplexityOptions perplexity;  // text, context, windows
  int threads = 0;               // threads of quantising; 0: one for each processor
  bool without_mtp = false;
};

// The difference of two perplexities over the same tokens. The error is the error of the mean difference
// token by token, which is smaller than the errors of both perplexities together.
struct PerplexityDelta {
  double value = 0, error = 0;
};
PerplexityDelta DeltaOf(const PerplexityResult& base, const PerplexityResult& other);

struct QualityRow {
  std::string type;
  int64_t bytes = 0;      // size of the file
  int64_t f16_bytes = 0;  // size of F16's file
  double perplexity = 0, perplexity_error = 0;
  std::optional<PerplexityDelta> delta;  // difference from F16; F16 itself has none
};

// Lines of an aligned Markdown table. Each text ends with a newline.
std::string QualityTableHead();
std::string QualityTableRow(const QualityRow& row);

// Prints the table, a row as soon as it is measured. Each file is served with the settings of `serve`.
// Returns the exit code.
int QualityTable(const QualityTableOptions& options, const Settings& serve);

}  // namespace deeprack::cli
