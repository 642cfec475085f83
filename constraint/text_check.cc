#include "constraint/text_check.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "constraint/limits.h"

namespace deeprack::constraint {

absl::Status CheckText(std::string_view json, std::string_view what) {
  if (std::ssize(json) > kMostTextBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(std::string(what), " has ", json.size(), " bytes; the most is ", kMostTextBytes));
  }
  int32_t depth = 0;
  int64_t members[kMostDepth + 1] = {};  // of the object that is open at each depth: colons outside strings
  bool in_string = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMostDepth) {
        return absl::InvalidArgumentError(
            absl::StrCat(std::string(what), " is nested more than ", kMostDepth, " deep"));
      }
      members[depth] = 0;
    } else if (c == '}' || c == ']') {
      if (depth > 0) --depth;
    } else if (c == ':' && ++members[depth] > kMostMembers) {
      return absl::InvalidArgumentError(
          absl::StrCat(std::string(what), " has an object of more than ", kMostMembers, " members"));
    }
  }
  return absl::OkStatus();
}

}  // namespace deeprack::constraint
