// Tokenizer files that are small enough to compute their results by hand.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "coordinator/tokenizer/tokenizer.h"

namespace deeprack::coordinator {

// A tokenizer.json in which ids 0 to 255 are the single bytes, and ids from 256 on are the results of
// `merges` ("left right", in byte-level symbols). It splits text as GPT-2 does and has no added tokens.
nlohmann::json SmallTokenizer(const std::vector<std::string>& merges);

// Appends an added token with the next free id. Returns the id.
TokenId AddToken(nlohmann::json* description, const std::string& content, bool special,
                 bool normalized = false);

// Writes the description to a file and loads the file.
absl::StatusOr<std::unique_ptr<Tokenizer>> LoadText(const std::string& text);
absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const nlohmann::json& description);

}  // namespace deeprack::coordinator
