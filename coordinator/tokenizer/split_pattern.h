// One `Split` of a tokenizer.json: a regular expression in the dialect of the `tokenizers` package
// (Oniguruma). PCRE2 runs the expression with the same meaning.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace deeprack::coordinator {

// Immutable; safe to use from any thread.
class SplitPattern {
 public:
  // Accepts the constructs that both dialects share: literals, classes, $, \s \S \r \n \t \p{L,M,N,P,S},
  // groups
  // (?: (?i: (?= (?!, alternation and quantifiers. Spaces and categories are those of Unicode 16 with every
  // version of PCRE2. Errors: InvalidArgument for any other construct, by name, and for a pattern that can
  // match the empty string.
  static absl::StatusOr<SplitPattern> Compile(std::string_view regex);

  // Cuts `text` (valid UTF-8) into the matches and the texts between matches, and appends the pieces in
  // order, without empty pieces ("Isolated"). Errors: ResourceExhausted if the search exceeds its step limit.
  absl::Status Split(std::string_view text, std::vector<std::string_view>* pieces) const;

 private:
  struct Compiled;
  explicit SplitPattern(std::shared_ptr<const Compiled> compiled) : compiled_(std::move(compiled)) {}

  std::shared_ptr<const Compiled> compiled_;
};

}  // namespace deeprack::coordinator
