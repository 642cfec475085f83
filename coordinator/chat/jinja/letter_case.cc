#include <unicode/locid.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include "coordinator/chat/jinja/methods.h"

namespace deeprack::coordinator::jinja {
namespace {

void AppendMapped(const icu::UnicodeString& mapped, Origin origin, Text& out) {
  std::string bytes;
  mapped.toUTF8String(bytes);
  out.Append(bytes, origin);
}

icu::UnicodeString FromUtf8(std::string_view bytes) {
  return icu::UnicodeString::fromUTF8(icu::StringPiece(bytes.data(), static_cast<int32_t>(bytes.size())));
}

// The case of one character when it begins a word.
icu::UnicodeString TitleCase(std::string_view character) {
  icu::UnicodeString mapped = FromUtf8(character);
  return mapped.toTitle(nullptr, icu::Locale::getRoot(), U_TITLECASE_NO_LOWERCASE);
}

}  // namespace

Text ChangeCase(const Text& text, Case to) {
  Text out;
  size_t begin = 0;
  bool in_word = false;  // a cased letter stands before
  for (const Text::Run& run : text.runs()) {
    const std::string_view bytes = std::string_view(text.bytes()).substr(begin, run.end - begin);
    if (to == Case::kUpper) AppendMapped(FromUtf8(bytes).toUpper(icu::Locale::getRoot()), run.origin, out);
    if (to == Case::kLower) AppendMapped(FromUtf8(bytes).toLower(icu::Locale::getRoot()), run.origin, out);
    for (size_t at = 0; (to == Case::kTitle || to == Case::kCapitalize) && at < bytes.size();) {
      const std::string_view character = bytes.substr(at, CharacterBytes(bytes, at));
      AppendMapped(in_word ? FromUtf8(character).toLower(icu::Locale::getRoot()) : TitleCase(character),
                   run.origin, out);
      in_word = to == Case::kCapitalize ||
                u_hasBinaryProperty(static_cast<UChar32>(CharacterAt(bytes, at)), UCHAR_CASED) != 0;
      at += character.size();
    }
    begin = run.end;
  }
  return out;
}

}  // namespace deeprack::coordinator::jinja
