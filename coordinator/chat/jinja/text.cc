#include "coordinator/chat/jinja/text.h"

#include <unicode/utf8.h>

#include <algorithm>
#include <utility>

namespace deeprack::coordinator::jinja {

Text::Text(std::string bytes, Origin origin) : bytes_(std::move(bytes)) {
  if (!bytes_.empty()) runs_.push_back({bytes_.size(), origin});
}

Text Text::Slice(size_t begin, size_t end) const {
  Text slice;
  slice.AppendSlice(*this, begin, end);
  slice.is_html_ = is_html_;
  return slice;
}

void Text::Append(std::string_view bytes, Origin origin) {
  if (bytes.empty()) return;
  bytes_.append(bytes);
  if (!runs_.empty() && runs_.back().origin == origin) {
    runs_.back().end = bytes_.size();
  } else {
    runs_.push_back({bytes_.size(), origin});
  }
}

void Text::AppendSlice(const Text& other, size_t begin, size_t end) {
  auto run = std::upper_bound(other.runs_.begin(), other.runs_.end(), begin,
                              [](size_t at, const Run& candidate) { return at < candidate.end; });
  while (begin < end) {
    const size_t stop = std::min(end, run->end);
    Append(std::string_view(other.bytes_).substr(begin, stop - begin), run->origin);
    begin = stop;
    ++run;
  }
}

size_t CharacterCount(std::string_view text) {
  size_t count = 0;
  for (const char byte : text) count += (static_cast<unsigned char>(byte) & 0xC0) != 0x80;
  return count;
}

size_t ByteOffset(std::string_view text, size_t character) {
  size_t at = 0;
  while (character > 0 && at < text.size()) {
    at += CharacterBytes(text, at);
    --character;
  }
  return at;
}

size_t CharacterBytes(std::string_view text, size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  const size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  return std::min(length, text.size() - at);
}

char32_t CharacterAt(std::string_view text, size_t at) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data()) + at;
  int32_t next = 0;
  const auto length = static_cast<int32_t>(std::min<size_t>(text.size() - at, 4));
  UChar32 character = 0;
  U8_NEXT(bytes, next, length, character);
  return character < 0 ? U'\uFFFD' : static_cast<char32_t>(character);
}

void AppendCharacter(char32_t character, std::string& out) {
  uint8_t bytes[U8_MAX_LENGTH];
  int32_t length = 0;
  U8_APPEND_UNSAFE(bytes, length, character);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
}

bool IsSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

Stripped Strip(std::string_view text, const std::string* chars, bool left, bool right) {
  const auto is_stripped = [&](size_t at) {
    if (chars == nullptr) return IsSpace(CharacterAt(text, at));
    const std::string_view character = text.substr(at, CharacterBytes(text, at));
    for (size_t i = 0; i < chars->size(); i += CharacterBytes(*chars, i)) {
      if (std::string_view(*chars).substr(i, CharacterBytes(*chars, i)) == character) return true;
    }
    return false;
  };
  Stripped rest{0, text.size()};
  while (left && rest.begin < rest.end && is_stripped(rest.begin))
    rest.begin += CharacterBytes(text, rest.begin);
  while (right && rest.begin < rest.end) {
    size_t last = rest.end - 1;
    while (last > rest.begin && (static_cast<unsigned char>(text[last]) & 0xC0) == 0x80) --last;
    if (!is_stripped(last)) break;
    rest.end = last;
  }
  return rest;
}

}  // namespace deeprack::coordinator::jinja
