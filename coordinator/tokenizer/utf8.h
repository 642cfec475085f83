// Reads UTF-8 one character at a time. The bytes may be invalid.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace deeprack::coordinator {

enum class Utf8Kind : uint8_t {
  kValid,       // a whole character
  kIncomplete,  // the text ends inside a character that more bytes could complete
  kInvalid,     // no further bytes could make a character
};

struct Utf8Step {
  Utf8Kind kind = Utf8Kind::kInvalid;
  int length = 0;           // in bytes; of an invalid character: the bytes that one U+FFFD replaces
  uint32_t code_point = 0;  // if valid
};

// The character at the start of `bytes`, which is not empty. An invalid sequence is cut as the Unicode
// Standard recommends (section 3.9, "maximal subpart"), and as Rust's from_utf8_lossy cuts.
Utf8Step ReadUtf8(std::string_view bytes);

// The offset of the first byte that is not part of a valid character. nullopt: all bytes are valid.
std::optional<size_t> FirstInvalidUtf8(std::string_view bytes);

void AppendUtf8(uint32_t code_point, std::string* out);

// Appends `bytes` to the text. Every invalid sequence, and an incomplete one at the end, becomes U+FFFD.
void AppendUtf8Lossy(std::string_view bytes, std::string* out);

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

}  // namespace deeprack::coordinator
