// Fuzzes the tokenizer. A tokenizer.json is refused, or it encodes texts to ids of its vocabulary and decodes
// the ids.
#include <cstdint>
#include <string>

#include "base/check.h"
#include "coordinator/tokenizer/tokenizer.h"
#include "tests/fuzz/temporary_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace deeprack;
  const TemporaryFile file(data, size);
  const auto tokenizer = coordinator::Tokenizer::Load(file.path());
  if (!tokenizer.ok()) {
    DR_CHECK(!tokenizer.status().message().empty());
    return 0;
  }
  for (const std::string text :
       {"", "ab ab", "Sort 52, 7!\n\n  x\t", "h\xC3\xA9 \xE4\xBD\xA0\xF0\x9F\x98\x80 <think>"}) {
    for (const bool allow_special : {false, true}) {
      const auto ids = (*tokenizer)->Encode(text, allow_special);
      if (!ids.ok()) continue;  // the file's regular expressions may take too many steps
      for (const TokenId id : *ids) DR_CHECK(id >= 0 && id < (*tokenizer)->vocab_size());
      (*tokenizer)->Decode(*ids, allow_special);
    }
  }
  return 0;
}
