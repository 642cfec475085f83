// What constraint/ holds of xgrammar. Only vocabulary.cc and compile.cc include this header: xgrammar reports
// faults by exceptions, which end in these files.
#pragma once

#include <exception>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "constraint/vocabulary.h"
#include "xgrammar/xgrammar.h"

namespace deeprack::constraint {

struct Vocabulary::Library {
  xgrammar::TokenizerInfo text;
  // For JSON: tokens with control characters other than line ends are no text. JSON has such characters only
  // as white space, and xgrammar's strings with minLength or maxLength would have them.
  xgrammar::TokenizerInfo json;
};

// Calls `call`, which returns a status or a StatusOr. An exception becomes `fault`, with the exception's
// text.
template <class Call>
auto WithoutExceptions(absl::StatusCode fault, Call&& call) -> decltype(call()) {
  try {
    return call();
  } catch (const std::exception& thrown) {
    std::string text = thrown.what();
    while (!text.empty() && text.back() == '\n') text.pop_back();
    // xgrammar writes "[13:36:25] file.cc:820: text".
    if (const size_t file = text.find(".cc:"); text.starts_with('[') && file != std::string::npos) {
      const size_t colon = text.find(": ", file);
      if (colon != std::string::npos) text.erase(0, colon + 2);
    }
    return absl::Status(fault, text);
  }
}

}  // namespace deeprack::constraint
