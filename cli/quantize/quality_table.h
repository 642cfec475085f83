// `deeprack quantize --table`: what each type costs a model in size and in perplexity, in the table that
// people post. Every type is written to a file, measured as `deeprack perplexity` measures, and removed.
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
  std::string folder;  // for the files while they are measured; "": the system's for temporary ones
  std::vector<std::string>
      types;  // names; empty: all. F16 comes first in any case: the others are held against it
  PerplexityOptions perplexity;  // text, context, windows
  int threads = 0;               // of quantising; 0: as many as the machine has
};

// What a second result has lost against a first that scored the same tokens. The error is that of the mean
// difference token by token, which is smaller than what the two perplexities' own errors would give.
struct PerplexityDelta {
  double value = 0, error = 0;
};
PerplexityDelta DeltaOf(const PerplexityResult& base, const PerplexityResult& other);

struct QualityRow {
  std::string type;
  int64_t bytes = 0;      // of the file
  int64_t f16_bytes = 0;  // of F16's
  double perplexity = 0, perplexity_error = 0;
  std::optional<PerplexityDelta> delta;  // against F16; F16 itself has none
};

// Markdown, aligned; each ends with a newline.
std::string QualityTableHead();
std::string QualityTableRow(const QualityRow& row);

// Prints the table, a row as soon as it is known. Each file is served as `serve` says. Returns the exit code.
int QualityTable(const QualityTableOptions& options, const Settings& serve);

}  // namespace deeprack::cli
