#include "constraint/compile.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "constraint/library.h"
#include "constraint/limits.h"
#include "constraint/spec_check.h"

namespace deeprack::constraint {
namespace {

using model::ConstraintKind;

class LibraryMatcher final : public Matcher {
 public:
  LibraryMatcher(std::shared_ptr<const Vocabulary> vocabulary, const xgrammar::CompiledGrammar& grammar)
      : vocabulary_(std::move(vocabulary)), matcher_(grammar) {}

  absl::Status TakePrefix(std::string_view prefix) {
    return WithoutExceptions(absl::StatusCode::kInternal, [&] {
      return prefix.empty() || matcher_.AcceptString(std::string(prefix))
                 ? absl::OkStatus()
                 : absl::InvalidArgumentError(
                       "no text of the constraint begins with the text that stands before the answer");
    });
  }

  absl::StatusOr<bool> Accept(TokenId token) override {
    if (token < 0 || token >= vocabulary_->vocab_size() || ended()) return false;
    if (BeforeHalf() && vocabulary_->BeginsHalf(token)) return false;
    return WithoutExceptions(absl::StatusCode::kInternal, [&]() -> absl::StatusOr<bool> {
      if (!matcher_.AcceptToken(token)) return false;
      before_half_.push_back(vocabulary_->EndsBeforeHalf(token));
      return true;
    });
  }

  absl::Status Fill(std::span<uint32_t> mask) override {
    DR_CHECK(std::ssize(mask) == MaskWords(vocabulary_->vocab_size()));
    int64_t shape = std::ssize(mask);
    DLTensor tensor{
        .data = mask.data(), .device = {kDLCPU, 0}, .ndim = 1, .dtype = {kDLInt, 32, 1}, .shape = &shape};
    return WithoutExceptions(absl::StatusCode::kInternal, [&] {
      matcher_.FillNextTokenBitmask(&tensor);
      for (size_t i = 0; i < mask.size() && BeforeHalf(); ++i) mask[i] &= ~vocabulary_->half_mask()[i];
      return absl::OkStatus();
    });
  }

  absl::Status Rollback(int32_t tokens) override {
    return WithoutExceptions(absl::StatusCode::kInternal, [&] {
      matcher_.Rollback(tokens);
      before_half_.resize(before_half_.size() - static_cast<size_t>(tokens));
      return absl::OkStatus();
    });
  }

  bool complete() const override { return matcher_.IsCompleted(); }
  bool ended() const override { return matcher_.IsTerminated(); }

 private:
  bool BeforeHalf() const { return !before_half_.empty() && before_half_.back(); }

  const std::shared_ptr<const Vocabulary> vocabulary_;
  xgrammar::GrammarMatcher matcher_;
  std::vector<bool> before_half_;  // of each accepted token: Vocabulary::EndsBeforeHalf
};

class LibraryConstraint final : public CompiledConstraint {
 public:
  LibraryConstraint(std::shared_ptr<const Vocabulary> vocabulary, xgrammar::CompiledGrammar grammar)
      : vocabulary_(std::move(vocabulary)), grammar_(std::move(grammar)) {}

  absl::StatusOr<std::unique_ptr<Matcher>> NewMatcher(std::string_view prefix) const override {
    return WithoutExceptions(absl::StatusCode::kInternal, [&]() -> absl::StatusOr<std::unique_ptr<Matcher>> {
      auto matcher = std::make_unique<LibraryMatcher>(vocabulary_, grammar_);
      DR_RETURN_IF_ERROR(matcher->TakePrefix(prefix));
      return matcher;
    });
  }

  int64_t bytes() const override { return static_cast<int64_t>(grammar_.MemorySizeBytes()); }

 private:
  const std::shared_ptr<const Vocabulary> vocabulary_;
  const xgrammar::CompiledGrammar grammar_;
};

xgrammar::CompiledGrammar CompileWith(xgrammar::GrammarCompiler& compiler, ConstraintKind kind,
                                      const std::string& text) {
  switch (kind) {
    case ConstraintKind::kJsonObject:
    case ConstraintKind::kJsonSchema:
      return compiler.CompileJSONSchema(text, /*any_whitespace=*/true, /*indent=*/std::nullopt,
                                        /*separators=*/std::nullopt, /*strict_mode=*/true, kMostWhitespace);
    case ConstraintKind::kRegex:
      return compiler.CompileRegex(text);
    case ConstraintKind::kTags:
      return compiler.CompileStructuralTag(text);
    default:
      return compiler.CompileGrammar(text);
  }
}

}  // namespace

absl::StatusOr<std::shared_ptr<const CompiledConstraint>> Compile(
    std::shared_ptr<const Vocabulary> vocabulary, const model::ConstraintSpec& spec, MaskTime masks) {
  DR_ASSIGN_OR_RETURN(const std::string text, CheckSpec(spec));
  using Result = absl::StatusOr<std::shared_ptr<const CompiledConstraint>>;
  return WithoutExceptions(absl::StatusCode::kInvalidArgument, [&]() -> Result {
    const bool json = spec.kind == ConstraintKind::kJsonObject || spec.kind == ConstraintKind::kJsonSchema ||
                      spec.kind == ConstraintKind::kTags;
    xgrammar::GrammarCompiler compiler(json ? vocabulary->library().json : vocabulary->library().text,
                                       /*max_threads=*/1,
                                       /*cache_enabled=*/false,
                                       /*max_memory_bytes=*/-1, masks == MaskTime::kOnDemand);
    auto compiled = std::make_shared<LibraryConstraint>(vocabulary, CompileWith(compiler, spec.kind, text));
    if (compiled->bytes() > kMostCompiledBytes) {
      return absl::InvalidArgumentError(absl::StrCat("the constraint takes ", compiled->bytes(),
                                                     " bytes compiled; the most is ", kMostCompiledBytes));
    }
    return compiled;
  });
}

}  // namespace deeprack::constraint
