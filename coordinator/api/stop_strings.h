// Finds the first stop string in a growing text, across the borders of its pieces: what might be the
// beginning of one is held back until it is known.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace deeprack::coordinator {

class StopStrings {
 public:
  // No string may be empty. `include`: a stop string found is part of the text given out.
  explicit StopStrings(std::vector<std::string> strings, bool include = false)
      : strings_(std::move(strings)), include_(include) {}

  // Text that may be given out now. After a match, `matched` is true and every further text is dropped.
  std::string Append(std::string_view text);

  // What is still held back: the text ended without completing a stop string.
  std::string Flush();

  bool matched() const { return matched_; }

 private:
  std::vector<std::string> strings_;
  bool include_;
  std::string held_;
  bool matched_ = false;
};

}  // namespace deeprack::coordinator
