// The text of docs/FLAGS.md.
#pragma once

#include <string>

namespace deeprack {

// Every setting with flag, variable, YAML key, default, range, programs and help, as Markdown.
std::string FlagsPage();

}  // namespace deeprack
