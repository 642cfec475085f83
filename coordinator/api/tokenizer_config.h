// The tokenizer's configuration as clients read it from /tokenizer_info.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "coordinator/tokenizer/tokenizer.h"

namespace deeprack::coordinator {

// A JSON object with what tokenizer_config.json says, as in vLLM: added tokens are texts, and tokenizer_class
// is there; chat_template is there if the folder has one. For a GGUF file, an object of the same keys from
// the metadata and the ids of `bos` and `eos`. Errors: InvalidArgument for a file that is no JSON object.
absl::StatusOr<std::string> ReadTokenizerConfig(const std::string& model, const Tokenizer& tokenizer,
                                                std::optional<TokenId> bos, std::optional<TokenId> eos);

}  // namespace deeprack::coordinator
