// Finds the stop string that is complete first in a text that comes in pieces. A stop string may cross
// pieces: text that may be the beginning of a stop string is held back until the next piece decides.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace deeprack::coordinator {

class StopStrings {
 public:
  // No string may be empty. `include`: the stop string stays in the text.
  explicit StopStrings(std::vector<std::string> strings, bool include = false)
      : strings_(std::move(strings)), include_(include) {}

  // Takes the next piece, and returns the text that is certain. After a match, matched() is true, and all
  // further text is dropped.
  std::string Append(std::string_view text);

  // The text has ended: returns the text that was held back.
  std::string Flush();

  bool matched() const { return matched_.has_value(); }
  // The stop string that was found; empty before a match.
  std::string match() const { return matched_ ? strings_[*matched_] : ""; }

 private:
  std::vector<std::string> strings_;
  bool include_;
  std::string held_;
  std::optional<size_t> matched_;  // which of strings_
};

}  // namespace deeprack::coordinator
