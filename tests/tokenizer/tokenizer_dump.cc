// Prints the tokenizer's results, for the comparison with the `tokenizers` package (compare_tokenizers.py).
//   tokenizer_dump TOKENIZER_JSON_OR_GGUF < requests > answers
// A request is a line of JSON. The answer to {"text": "..."} is the line
// {"ids": [...], "ordinary_ids": [...], "text": "...", "shown": "..."}: the text encoded with and without
// special tokens allowed, and `ids` decoded without and with special tokens shown. The ids of a request
// {"ids": [...]} are only decoded.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "coordinator/tokenizer/tokenizer.h"

namespace {

using deeprack::TokenId;
using deeprack::coordinator::IncrementalDetokenizer;
using deeprack::coordinator::Tokenizer;
using Json = nlohmann::json;

std::string Streamed(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
  IncrementalDetokenizer stream(&tokenizer);
  std::string text;
  for (TokenId id : ids) text += stream.Append(id);
  return text + stream.Finish();
}

Json Answer(const Tokenizer& tokenizer, const Json& request) {
  Json answer;
  std::vector<TokenId> ids;
  if (request.contains("text")) {
    const auto text = request["text"].get<std::string>();
    auto encoded = tokenizer.Encode(text, /*allow_special=*/true);
    auto ordinary = tokenizer.Encode(text, /*allow_special=*/false);
    if (!encoded.ok() || !ordinary.ok()) return {{"error", std::string(encoded.status().message())}};
    ids = *std::move(encoded);
    answer["ids"] = ids;
    answer["ordinary_ids"] = *std::move(ordinary);
  } else {
    ids = request["ids"].get<std::vector<TokenId>>();
  }
  answer["text"] = tokenizer.Decode(ids, /*show_special=*/false);
  answer["shown"] = tokenizer.Decode(ids, /*show_special=*/true);
  if (Streamed(tokenizer, ids) != answer["text"]) answer["error"] = "the streamed text differs from Decode's";
  return answer;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: tokenizer_dump TOKENIZER_JSON_OR_GGUF < requests > answers\n";
    return 64;
  }
  auto tokenizer = Tokenizer::Load(argv[1]);
  if (!tokenizer.ok()) {
    std::cerr << tokenizer.status().message() << "\n";
    return 65;
  }
  std::ios::sync_with_stdio(false);
  std::string line;
  while (std::getline(std::cin, line)) {
    const Json request = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!request.is_object()) {
      std::cerr << "not a request: " << line << "\n";
      return 65;
    }
    std::cout << Answer(**tokenizer, request).dump() << '\n';
  }
  return 0;
}
