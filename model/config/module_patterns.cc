#include "model/config/module_patterns.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace deeprack::model {
namespace {

constexpr size_t kMaxExpressionBytes = 1000;
constexpr uint32_t kMatchLimit = 10'000;
constexpr uint32_t kHeapLimitKib = 1024;

struct FreePcre2 {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

bool EndsInComponents(const std::string& module, const std::string& components) {
  if (!absl::EndsWith(module, components)) return false;
  const size_t begin = module.size() - components.size();
  return begin == 0 || module[begin - 1] == '.';
}

}  // namespace

struct ModulePatterns::Expression {
  std::unique_ptr<pcre2_code, FreePcre2> code;
  std::unique_ptr<pcre2_match_context, FreePcre2> limits;

  bool Match(const std::string& module) const {
    const std::unique_ptr<pcre2_match_data, FreePcre2> data(
        pcre2_match_data_create_from_pattern(code.get(), nullptr));
    return data != nullptr && pcre2_match(code.get(), reinterpret_cast<PCRE2_SPTR>(module.data()),
                                          module.size(), 0, 0, data.get(), limits.get()) > 0;
  }
};

absl::Status ModulePatterns::CheckRoom() const {
  if (parts_.size() + last_.size() + expressions_.size() < kMaxSearched) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("more than ", kMaxSearched, " parts of names and regular expressions: list fewer"));
}

absl::Status ModulePatterns::AddPart(std::string part) {
  DR_RETURN_IF_ERROR(CheckRoom());
  parts_.push_back(std::move(part));
  return absl::OkStatus();
}

absl::Status ModulePatterns::AddLast(std::string components) {
  DR_RETURN_IF_ERROR(CheckRoom());
  last_.push_back(std::move(components));
  return absl::OkStatus();
}

absl::Status ModulePatterns::AddExpression(const std::string& expression) {
  DR_RETURN_IF_ERROR(CheckRoom());
  if (expression.size() > kMaxExpressionBytes) {
    return absl::InvalidArgumentError(absl::StrCat("a regular expression of ", expression.size(),
                                                   " characters, at most ", kMaxExpressionBytes,
                                                   " are allowed"));
  }
  int error = 0;
  PCRE2_SIZE offset = 0;
  auto compiled = std::make_shared<Expression>();
  compiled->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()), expression.size(),
                                     PCRE2_ANCHORED | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr));
  if (compiled->code == nullptr) {
    std::array<PCRE2_UCHAR, 256> text{};
    pcre2_get_error_message(error, text.data(), text.size());
    return absl::InvalidArgumentError(
        absl::StrCat("\"", expression.substr(0, 60),
                     "\" is not a valid regular expression: ", reinterpret_cast<const char*>(text.data())));
  }
  compiled->limits.reset(pcre2_match_context_create(nullptr));
  if (compiled->limits == nullptr) return absl::ResourceExhaustedError("regular expression: out of memory");
  pcre2_set_match_limit(compiled->limits.get(), kMatchLimit);
  pcre2_set_heap_limit(compiled->limits.get(), kHeapLimitKib);
  expressions_.push_back(std::move(compiled));
  return absl::OkStatus();
}

bool ModulePatterns::Match(const std::string& module) const {
  const auto any = [](const auto& patterns, auto matches) {
    return std::any_of(patterns.begin(), patterns.end(), matches);
  };
  return names_.contains(module) ||
         any(parts_, [&](const std::string& part) { return absl::StrContains(module, part); }) ||
         any(last_, [&](const std::string& last) { return EndsInComponents(module, last); }) ||
         any(expressions_, [&](const auto& expression) { return expression->Match(module); });
}

}  // namespace deeprack::model
