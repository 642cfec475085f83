// Parses expressions from a template's tokens.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/chat/jinja/ast.h"
#include "coordinator/chat/jinja/lexer.h"

namespace deeprack::coordinator::jinja {

// A place in the tokens.
class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& Current() const { return tokens_[at_]; }
  const Token& Next() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  bool IsName(std::string_view name) const { return Current().IsName(name); }
  bool IsOperator(std::string_view sign) const { return Current().IsOperator(sign); }

  Token Take() {
    Token token = Current();
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }

  // Takes the current token if it is the name or operator.
  bool SkipName(std::string_view name) { return IsName(name) && (Take(), true); }
  bool SkipOperator(std::string_view sign) { return IsOperator(sign) && (Take(), true); }

  // Errors: InvalidArgument, with the line, for another token.
  absl::Status ExpectOperator(std::string_view sign);
  absl::StatusOr<std::string> ExpectName();
  absl::Status Fail(std::string_view what) const;
  absl::Status FailUnexpected(std::string_view expected) const;

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
};

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& tokens) : tokens_(tokens) {}

  absl::StatusOr<ExprPtr> Parse() { return ParseConditional(); }
  // An expression without `if ... else`, as the iterable of a for has it.
  absl::StatusOr<ExprPtr> ParseOr();
  // An expression, or a tuple without parentheses.
  absl::StatusOr<ExprPtr> ParseTuple(bool with_conditional = true);
  // The filters after the word `filter` or after the target of a set block: "trim | upper".
  absl::StatusOr<ExprPtr> ParseFilterChain();

 private:
  absl::StatusOr<ExprPtr> ParseConditional();
  absl::StatusOr<ExprPtr> ParseAnd();
  absl::StatusOr<ExprPtr> ParseNot();
  absl::StatusOr<ExprPtr> ParseCompare();
  absl::StatusOr<ExprPtr> ParseSum();
  absl::StatusOr<ExprPtr> ParseConcat();
  absl::StatusOr<ExprPtr> ParseProduct();
  absl::StatusOr<ExprPtr> ParsePower();
  absl::StatusOr<ExprPtr> ParseUnary(bool with_filter = true);
  absl::StatusOr<ExprPtr> ParsePrimary();
  absl::StatusOr<ExprPtr> ParseList();
  absl::StatusOr<ExprPtr> ParseDict();
  absl::StatusOr<ExprPtr> ParseNumber();
  absl::StatusOr<ExprPtr> ParseParentheses();
  absl::StatusOr<ExprPtr> ParsePostfix(ExprPtr value);
  absl::StatusOr<ExprPtr> ParseFilters(ExprPtr value);
  absl::StatusOr<ExprPtr> ParseFilter(ExprPtr value);
  absl::StatusOr<ExprPtr> ParseTest(ExprPtr value);
  absl::StatusOr<ExprPtr> ParseSubscript(ExprPtr value);
  absl::Status ParseArguments(Expr& call);
  absl::StatusOr<std::string> ParseDottedName();

  ExprPtr Make(ExprKind kind, std::string name = "") const;
  // Appends the child. Errors: ResourceExhausted if the tree gets too high.
  absl::Status Adopt(Expr& parent, ExprPtr child) const;
  absl::StatusOr<ExprPtr> Join(ExprKind kind, std::string name, ExprPtr left, ExprPtr right) const;

  class Level;  // counts the levels that are open, so that the parser's own stack is bounded

  TokenStream& tokens_;
  int open_levels_ = 0;
};

}  // namespace deeprack::coordinator::jinja
