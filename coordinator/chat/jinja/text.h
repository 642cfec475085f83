// Text that remembers for each byte where the byte comes from: the template's author or the data (messages,
// tools, whatever a client sends). Only text of the template may become control tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/string_view.h"

namespace deeprack::coordinator::jinja {

// Abseil's view of the same bytes: its functions take no std::string_view.
inline absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

enum class Origin : uint8_t { kTemplate, kData };

class Text {
 public:
  struct Run {
    size_t end = 0;  // one past the run's last byte
    Origin origin = Origin::kTemplate;
  };

  Text() = default;
  Text(std::string bytes, Origin origin);

  const std::string& bytes() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }

  // The runs in order. Neighbours have different origins; the last run ends at size().
  const std::vector<Run>& runs() const { return runs_; }

  // True for HTML that `safe` or `escape` made: `+` escapes the other text. A slice of HTML is HTML.
  bool is_html() const { return is_html_; }
  void set_html(bool is_html) { is_html_ = is_html; }

  // Bytes [begin, end) of the text; begin <= end <= size().
  Text Slice(size_t begin, size_t end) const;

  void Append(std::string_view bytes, Origin origin);
  void Append(const Text& other) { AppendSlice(other, 0, other.size()); }
  void AppendSlice(const Text& other, size_t begin, size_t end);  // `other` is not this

 private:
  std::string bytes_;
  std::vector<Run> runs_;
  bool is_html_ = false;
};

// Python counts characters where C++ counts bytes. `text` is valid UTF-8.
size_t CharacterCount(std::string_view text);
// The bytes before character number `character`; text.size() if the text has fewer characters.
size_t ByteOffset(std::string_view text, size_t character);
// The length in bytes of the character that begins at text[at].
size_t CharacterBytes(std::string_view text, size_t at);
// The character that begins at text[at].
char32_t CharacterAt(std::string_view text, size_t at);
void AppendCharacter(char32_t character, std::string& out);

// str.isspace of Python for one character.
bool IsSpace(char32_t character);

// str.strip: the bytes [begin, end) that are left without the characters of `chars` at the ends. Without
// `chars`: without white space.
struct Stripped {
  size_t begin = 0, end = 0;
};
Stripped Strip(std::string_view text, const std::string* chars, bool left, bool right);

}  // namespace deeprack::coordinator::jinja
