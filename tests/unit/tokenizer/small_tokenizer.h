// Tokenizer files small enough to work out by hand.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "coordinator/tokenizer/tokenizer.h"

namespace deeprack::coordinator {

// A tokenizer.json whose ids 0 to 255 are the single bytes and 256, 257, ... what `merges` ("left right", in
// byte-level symbols) make; split as GPT-2 does; no added tokens.
nlohmann::json SmallTokenizer(const std::vector<std::string>& merges);

// Appends an added token with the next free id, which is returned.
TokenId AddToken(nlohmann::json* description, const std::string& content, bool special,
                 bool normalized = false);

// Writes it to a file of its own and loads that.
absl::StatusOr<std::unique_ptr<Tokenizer>> LoadText(const std::string& text);
absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const nlohmann::json& description);

}  // namespace deeprack::coordinator
