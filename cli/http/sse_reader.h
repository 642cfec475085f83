// Takes server-sent events out of a byte stream that arrives in pieces of any size. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace deeprack::cli {

class SseReader {
 public:
  // The data of the events that these bytes complete; comments and other fields are skipped. Lines end in \n,
  // \r\n or \r; several data lines of an event are joined by \n.
  std::vector<std::string> Feed(absl::string_view bytes);

 private:
  void TakeLine(std::vector<std::string>& events);

  std::string line_;
  std::string data_;
  bool has_data_ = false;
  bool after_return_ = false;  // the last byte was \r: a \n that follows belongs to it
};

}  // namespace deeprack::cli
