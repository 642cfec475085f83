// UTF-8, read one character at a time from bytes that may be anything.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace deeprack::coordinator {

enum class Utf8Kind : uint8_t {
  kValid,       // a whole character
  kIncomplete,  // the text ends inside a character that more bytes could complete
  kInvalid,     // no continuation makes this a character
};

struct Utf8Step {
  Utf8Kind kind = Utf8Kind::kInvalid;
  int length = 0;           // bytes it takes; of a broken one: the part that one U+FFFD stands for
  uint32_t code_point = 0;  // if valid
};

// The character at the start of `bytes`, which is not empty. A broken sequence is cut as the Unicode Standard
// recommends (section 3.9, "maximal subpart"), which is also what Rust's from_utf8_lossy does.
Utf8Step ReadUtf8(std::string_view bytes);

// The offset of the first byte that is not part of a valid character; nullopt when all is well.
std::optional<size_t> FirstInvalidUtf8(std::string_view bytes);

void AppendUtf8(uint32_t code_point, std::string* out);

// Appends `bytes` with every broken sequence, an incomplete one at the end included, replaced by U+FFFD.
void AppendUtf8Lossy(std::string_view bytes, std::string* out);

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

}  // namespace deeprack::coordinator
