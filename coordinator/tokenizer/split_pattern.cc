#include "coordinator/tokenizer/split_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/tokenizer/regex_dialect.h"

namespace deeprack::coordinator {
namespace {

// The most backtracking steps of one search. The patterns of real vocabularies need a few for each character.
constexpr uint32_t kMatchLimit = 50'000'000;
constexpr uint32_t kHeapLimitKib = 64 * 1024;

struct FreePcre2 {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
template <typename T>
using Owned = std::unique_ptr<T, FreePcre2>;

std::string ErrorText(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

}  // namespace

struct SplitPattern::Compiled {
  Owned<pcre2_code> code;
  Owned<pcre2_match_context> limits;
};

absl::StatusOr<SplitPattern> SplitPattern::Compile(std::string_view regex) {
  DR_ASSIGN_OR_RETURN(const std::string pattern, ToPcre2(regex));
  int error = 0;
  PCRE2_SIZE offset = 0;
  auto compiled = std::make_shared<Compiled>();
  compiled->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                     PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset,
                                     nullptr));
  if (compiled->code == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("regex: ", ErrorText(error), ", in: ", std::string(regex.substr(0, 200))));
  }
  uint32_t matches_empty = 0;
  pcre2_pattern_info(compiled->code.get(), PCRE2_INFO_MATCHEMPTY, &matches_empty);
  if (matches_empty != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("regex: can match the empty string, in: ", std::string(regex.substr(0, 200))));
  }
  // Without a JIT (a platform that has none) the interpreter gives the same matches.
  pcre2_jit_compile(compiled->code.get(), PCRE2_JIT_COMPLETE);
  compiled->limits.reset(pcre2_match_context_create(nullptr));
  if (compiled->limits == nullptr) return absl::ResourceExhaustedError("regex: out of memory");
  pcre2_set_match_limit(compiled->limits.get(), kMatchLimit);
  pcre2_set_heap_limit(compiled->limits.get(), kHeapLimitKib);
  return SplitPattern(std::move(compiled));
}

absl::Status SplitPattern::Split(std::string_view text, std::vector<std::string_view>* pieces) const {
  const Owned<pcre2_match_data> data(pcre2_match_data_create_from_pattern(compiled_->code.get(), nullptr));
  if (data == nullptr) return absl::ResourceExhaustedError("regex: out of memory");
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const auto search = [&](size_t from, uint32_t options) {
    return pcre2_match(compiled_->code.get(), subject, text.size(), from, options | PCRE2_NO_UTF_CHECK,
                       data.get(), compiled_->limits.get());
  };
  size_t done = 0;
  while (done < text.size()) {
    int found = search(done, 0);
    // The interpreter backtracks on the heap, which has more room than the JIT's stack.
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) found = search(done, PCRE2_NO_JIT);
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0) {
      return absl::ResourceExhaustedError(
          absl::StrCat("splitting the text into words at byte ", done, ": ", ErrorText(found)));
    }
    const PCRE2_SIZE* span = pcre2_get_ovector_pointer(data.get());
    if (span[0] > done) pieces->push_back(text.substr(done, span[0] - done));
    pieces->push_back(text.substr(span[0], span[1] - span[0]));
    done = span[1];
  }
  if (done < text.size()) pieces->push_back(text.substr(done));
  return absl::OkStatus();
}

}  // namespace deeprack::coordinator
