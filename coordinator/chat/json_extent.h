// Finds where a JSON value ends in a text that comes byte by byte. The value is not validated: brackets and
// strings are followed, and all other bytes are taken as they are.
#pragma once

namespace deeprack::coordinator {

class JsonExtent {
 public:
  // Takes the value's next byte. The first byte must be '{', '[' or '"'.
  void Take(char byte) {
    if (in_string_) {
      if (escaped_) {
        escaped_ = false;
      } else if (byte == '\\') {
        escaped_ = true;
      } else if (byte == '"') {
        in_string_ = false;
      }
    } else if (byte == '"') {
      in_string_ = true;
    } else if (byte == '{' || byte == '[') {
      ++depth_;
    } else if ((byte == '}' || byte == ']') && depth_ > 0) {
      --depth_;
    }
    complete_ = depth_ == 0 && !in_string_;
  }

  // True after the value's last byte.
  bool complete() const { return complete_; }
  bool in_string() const { return in_string_; }

 private:
  int depth_ = 0;
  bool in_string_ = false, escaped_ = false, complete_ = false;
};

}  // namespace deeprack::coordinator
