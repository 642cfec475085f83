#include "coordinator/chat/jinja/expression_parser.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/chat/jinja/parser.h"

namespace deeprack::coordinator::jinja {
namespace {

std::string Describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kText:
      return "text";
    case TokenKind::kVariableBegin:
      return "'{{'";
    case TokenKind::kVariableEnd:
      return "'}}'";
    case TokenKind::kBlockBegin:
      return "'{%'";
    case TokenKind::kBlockEnd:
      return "'%}'";
    case TokenKind::kEnd:
      return "the end of the template";
    default:
      return absl::StrCat("'", token.text.substr(0, 40), "'");
  }
}

}  // namespace

absl::Status TokenStream::Fail(std::string_view what) const {
  return absl::InvalidArgumentError(absl::StrCat("line ", Current().line, ": ", View(what)));
}

absl::Status TokenStream::FailUnexpected(std::string_view expected) const {
  return Fail(absl::StrCat("found ", Describe(Current()), " where ", View(expected), " should be"));
}

absl::Status TokenStream::ExpectOperator(std::string_view sign) {
  if (SkipOperator(sign)) return absl::OkStatus();
  return FailUnexpected(absl::StrCat("'", View(sign), "'"));
}

absl::StatusOr<std::string> TokenStream::ExpectName() {
  if (Current().kind != TokenKind::kName) return FailUnexpected("a name");
  return Take().text;
}

class ExpressionParser::Level {
 public:
  explicit Level(ExpressionParser& parser) : levels_(parser.open_levels_) { ++levels_; }
  ~Level() { --levels_; }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;
  bool too_deep() const { return levels_ > kMaxNesting; }

 private:
  int& levels_;
};

#define DR_ENTER_LEVEL                                                                \
  const Level level(*this);                                                           \
  if (level.too_deep()) {                                                             \
    return absl::ResourceExhaustedError(absl::StrCat("line ", tokens_.Current().line, \
                                                     ": expressions are nested more " \
                                                     "than ",                         \
                                                     kMaxNesting, " levels deep"));   \
  }                                                                                   \
  static_assert(true)

ExprPtr ExpressionParser::Make(ExprKind kind, std::string name) const {
  auto made = std::make_unique<Expr>();
  made->kind = kind;
  made->line = tokens_.Current().line;
  made->name = std::move(name);
  return made;
}

absl::Status ExpressionParser::Adopt(Expr& parent, ExprPtr child) const {
  if (child != nullptr) {
    parent.height = std::max(parent.height, child->height + 1);
    if (parent.height > kMaxNesting) {
      return absl::ResourceExhaustedError(
          absl::StrCat("line ", child->line, ": an expression has more than ", kMaxNesting, " levels"));
    }
  }
  parent.children.push_back(std::move(child));
  return absl::OkStatus();
}

absl::StatusOr<ExprPtr> ExpressionParser::Join(ExprKind kind, std::string name, ExprPtr left,
                                               ExprPtr right) const {
  ExprPtr joined = Make(kind, std::move(name));
  joined->line = left->line;
  DR_RETURN_IF_ERROR(Adopt(*joined, std::move(left)));
  DR_RETURN_IF_ERROR(Adopt(*joined, std::move(right)));
  return joined;
}

absl::StatusOr<ExprPtr> ExpressionParser::ParseConditional() {
  DR_ENTER_LEVEL;
  DR_ASSIGN_OR_RETURN(ExprPtr value, ParseOr());
  while (tokens_.SkipName("if")) {
    ExprPtr made = Make(ExprKind::kConditional);
    DR_ASSIGN_OR_RETURN(ExprPtr condition, ParseOr());
    ExprPtr other;
    if (tokens_.SkipName("else")) {
      DR_ASSIGN_OR_RETURN(other, ParseConditional());
    }
    DR_RETURN_IF_ERROR(Adopt(*made, std::move(value)));
    DR_RETURN_IF_ERROR(Adopt(*made, std::move(condition)));
    DR_RETURN_IF_ERROR(Adopt(*made, std::move(other)));
    value = std::move(made);
  }
  return value;
}

absl::StatusOr<ExprPtr> ExpressionParser::ParseOr() {
  DR_ASSIGN_OR_RETURN(ExprPtr left, ParseAnd());
  while (tokens_.SkipName("or")) {
    DR_ASSIGN_OR_RETURN(ExprPtr right, ParseAnd());
    DR_ASSIGN_OR_RETURN(left, Join(ExprKind::kOr, "", std::move(left), std::move(right)));
  }
  return left;
}

absl::StatusOr<ExprPtr> ExpressionParser::ParseAnd() {
  DR_ASSIGN_OR_RETURN(ExprPtr left, ParseNot());
  while (tokens_.SkipName("and")) {
    DR_ASSIGN_OR_RETURN(ExprPtr right, ParseNot());
    DR_ASSIGN_OR_RETURN(left, Join(ExprKind::kAnd, "", std::move(left), std::move(right)));
  }
  return left;
}

absl::StatusOr<ExprPtr> ExpressionParser::ParseNot() {
  DR_ENTER_LEVEL;
  if (!tokens_.IsName("not")) return ParseCompare();
  ExprPtr made = Make(ExprKind::kNot);
  tokens_.Take();
  DR_ASSIGN_OR_RETURN(ExprPtr operand, ParseNot());
  DR_RETURN_IF_ERROR(Adopt(*made, std::move(operand)));
  return made;
}

absl::StatusOr<ExprPtr> ExpressionParser::ParseCompare() {
  DR_ASSIGN_OR_RETURN(ExprPtr left, ParseSum());
  ExprPtr compare;
  while (true) {
    std::string sign;
    for (const std::string_view known : {"==", "!=", "<=", ">=", "<", ">"}) {
      if (sign.empty() && tokens_.SkipOperator(known)) sign = known;
    }
    if (sign.empty() && tokens_.SkipName("in")) sign = "in";
    if (sign.empty() && tokens_.IsName("not") && tokens_.Next().IsName("in")) {
      tokens_.Take();
      tokens_.Take();
      sign = "not in";
    }
    if (sign.empty()) break;
    if (compare == nullptr) {
      compare = Make(ExprKind::kCompare);
      DR_RETURN_IF_ERROR(Adopt(*compare, std::move(left)));
    }
    DR_ASSIGN_OR_RETURN(ExprPtr right, ParseSum());
    DR_RETURN_IF_ERROR(Adopt(*compare, std::move(right)));
    compare->operators.push_back(std::move(sign));
  }
  return compare != nullptr ? std::move(compare) : std::move(left);
}

absl::StatusOr<ExprPtr> ExpressionParser::ParseSum() {
  DR_ASSIGN_OR_RETURN(ExprPtr left, ParseConcat());
  while (tokens_.IsOperator("+") || tokens_.IsOperator("-")) {
    std::string sign = tokens_.Take().text;
    DR_ASSIGN_OR_RETURN(ExprPtr right, ParseConcat());
    DR_ASSIGN_OR_RETURN(left, Join(ExprKind::kBinary, std::move(sign), std::move(left), std::move(right)));
  }
  return left;
}

absl::StatusOr<ExprPtr> ExpressionParser::ParseConcat() {
  DR_ASSIGN_OR_RETURN(ExprPtr first, ParseProduct());
  if (!tokens_.IsOperator("~")) return first;
  ExprPtr concat = Make(ExprKind::kConcat);
  DR_RETURN_IF_ERROR(Adopt(*concat, std::move(first)));
  while (tokens_.SkipOperator("~")) {
    DR_ASSIGN_OR_RETURN(ExprPtr part, ParseProduct());
    DR_RETURN_IF_ERROR(Adopt(*concat, std::move(part)));
  }
  return concat;
}

absl::StatusOr<ExprPtr> ExpressionParser::ParseProduct() {
  DR_ASSIGN_OR_RETURN(ExprPtr left, ParsePower());
  while (tokens_.IsOperator("*") || tokens_.IsOperator("/") || tokens_.IsOperator("//") ||
         tokens_.IsOperator("%")) {
    std::string sign = tokens_.Take().text;
    DR_ASSIGN_OR_RETURN(ExprPtr right, ParsePower());
    DR_ASSIGN_OR_RETURN(left, Join(ExprKind::kBinary, std::move(sign), std::move(left), std::move(right)));
  }
  return left;
}

absl::StatusOr<ExprPtr> ExpressionParser::ParsePower() {
  DR_ASSIGN_OR_RETURN(ExprPtr left, ParseUnary());
  while (tokens_.SkipOperator("**")) {
    DR_ASSIGN_OR_RETURN(ExprPtr right, ParseUnary());
    DR_ASSIGN_OR_RETURN(left, Join(ExprKind::kBinary, "**", std::move(left), std::move(right)));
  }
  return left;
}

absl::StatusOr<ExprPtr> ExpressionParser::ParseUnary(bool with_filter) {
  DR_ENTER_LEVEL;
  ExprPtr value;
  if (tokens_.IsOperator("-") || tokens_.IsOperator("+")) {
    value = Make(tokens_.IsOperator("-") ? ExprKind::kNegate : ExprKind::kPlus);
    tokens_.Take();
    DR_ASSIGN_OR_RETURN(ExprPtr operand, ParseUnary(/*with_filter=*/false));
    DR_RETURN_IF_ERROR(Adopt(*value, std::move(operand)));
  } else {
    DR_ASSIGN_OR_RETURN(value, ParsePrimary());
  }
  DR_ASSIGN_OR_RETURN(value, ParsePostfix(std::move(value)));
  return with_filter ? ParseFilters(std::move(value)) : absl::StatusOr<ExprPtr>(std::move(value));
}

absl::StatusOr<ExprPtr> ExpressionParser::ParsePrimary() {
  const Token& token = tokens_.Current();
  switch (token.kind) {
    case TokenKind::kName: {
      ExprPtr constant = Make(ExprKind::kConstant);
      const std::string& name = token.text;
      if (name == "true" || name == "True") {
        constant->constant = Value::Bool(true);
      } else if (name == "false" || name == "False") {
        constant->constant = Value::Bool(false);
      } else if (name == "none" || name == "None") {
        constant->constant = Value::None();
      } else {
        constant->kind = ExprKind::kName;
        constant->name = name;
      }
      tokens_.Take();
      return constant;
    }
    case TokenKind::kString: {
      ExprPtr constant = Make(ExprKind::kConstant);
      std::string text;
      while (tokens_.Current().kind == TokenKind::kString) text += tokens_.Take().text;
      constant->constant = Value::Literal(std::move(text));
      return constant;
    }
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return ParseNumber();
    default:
      break;
  }
  if (tokens_.IsOperator("(")) return ParseParentheses();
  if (tokens_.IsOperator("[")) return ParseList();
  if (tokens_.IsOperator("{")) return ParseDict();
  return tokens_.FailUnexpected("an expression");
}

absl::StatusOr<ExprPtr> ExpressionParser::ParseNumber() {
  ExprPtr constant = Make(ExprKind::kConstant);
  const Token token = tokens_.Take();
  int64_t integer = 0;
  double number = 0;
  if (token.kind == TokenKind::kInteger && absl::SimpleAtoi(token.text, &integer)) {
    constant->constant = Value::Int(integer);
  } else if (token.kind == TokenKind::kFloat && absl::SimpleAtod(token.text, &number)) {
    constant->constant = Value::Float(number);
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("line ", token.line, ": the number ", token.text.substr(0, 40), " is too large"));
  }
  return constant;
}

absl::StatusOr<ExprPtr> ExpressionParser::ParseParentheses() {
  tokens_.Take();
  if (tokens_.IsOperator(")")) {
    ExprPtr empty = Make(ExprKind::kTuple);
    tokens_.Take();
    return empty;
  }
  DR_ASSIGN_OR_RETURN(ExprPtr value, ParseTuple());
  DR_RETURN_IF_ERROR(tokens_.ExpectOperator(")"));
  return value;
}

absl::StatusOr<ExprPtr> ExpressionParser::ParseTuple(bool with_conditional) {
  DR_ENTER_LEVEL;
  const auto parse = [&] { return with_conditional ? Parse() : ParseOr(); };
  DR_ASSIGN_OR_RETURN(ExprPtr first, parse());
  if (!tokens_.IsOperator(",")) return first;
  ExprPtr tuple = Make(ExprKind::kTuple);
  DR_RETURN_IF_ERROR(Adopt(*tuple, std::move(first)));
  while (tokens_.SkipOperator(",")) {
    const Token& next = tokens_.Current();
    if (next.kind == TokenKind::kVariableEnd || next.kind == TokenKind::kBlockEnd || next.IsOperator(")"))
      break;
    DR_ASSIGN_OR_RETURN(ExprPtr item, parse());
    DR_RETURN_IF_ERROR(Adopt(*tuple, std::move(item)));
  }
  return tuple;
}

absl::StatusOr<ExprPtr> ExpressionParser::ParseList() {
  ExprPtr list = Make(ExprKind::kList);
  tokens_.Take();
  while (!tokens_.IsOperator("]")) {
    if (!list->children.empty()) {
      DR_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      if (tokens_.IsOperator("]")) break;
    }
    DR_ASSIGN_OR_RETURN(ExprPtr item, Parse());
    DR_RETURN_IF_ERROR(Adopt(*list, std::move(item)));
  }
  tokens_.Take();
  return list;
}

absl::StatusOr<ExprPtr> ExpressionParser::ParseDict() {
  ExprPtr dict = Make(ExprKind::kDict);
  tokens_.Take();
  while (!tokens_.IsOperator("}")) {
    if (!dict->children.empty()) {
      DR_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      if (tokens_.IsOperator("}")) break;
    }
    DR_ASSIGN_OR_RETURN(ExprPtr key, Parse());
    DR_RETURN_IF_ERROR(tokens_.ExpectOperator(":"));
    DR_ASSIGN_OR_RETURN(ExprPtr value, Parse());
    DR_RETURN_IF_ERROR(Adopt(*dict, std::move(key)));
    DR_RETURN_IF_ERROR(Adopt(*dict, std::move(value)));
  }
  tokens_.Take();
  return dict;
}

absl::StatusOr<ExprPtr> ExpressionParser::ParsePostfix(ExprPtr value) {
  while (true) {
    if (tokens_.IsOperator(".") || tokens_.IsOperator("[")) {
      DR_ASSIGN_OR_RETURN(value, ParseSubscript(std::move(value)));
    } else if (tokens_.IsOperator("(")) {
      ExprPtr call = Make(ExprKind::kCall);
      DR_RETURN_IF_ERROR(Adopt(*call, std::move(value)));
      DR_RETURN_IF_ERROR(ParseArguments(*call));
      value = std::move(call);
    } else {
      return value;
    }
  }
}

absl::StatusOr<ExprPtr> ExpressionParser::ParseFilters(ExprPtr value) {
  while (true) {
    if (tokens_.SkipOperator("|")) {
      DR_ASSIGN_OR_RETURN(value, ParseFilter(std::move(value)));
    } else if (tokens_.SkipName("is")) {
      DR_ASSIGN_OR_RETURN(value, ParseTest(std::move(value)));
    } else if (tokens_.IsOperator("(")) {
      DR_ASSIGN_OR_RETURN(value, ParsePostfix(std::move(value)));
    } else {
      return value;
    }
  }
}

absl::StatusOr<std::string> ExpressionParser::ParseDottedName() {
  DR_ASSIGN_OR_RETURN(std::string name, tokens_.ExpectName());
  while (tokens_.SkipOperator(".")) {
    DR_ASSIGN_OR_RETURN(const std::string part, tokens_.ExpectName());
    absl::StrAppend(&name, ".", part);
  }
  return name;
}

absl::StatusOr<ExprPtr> ExpressionParser::ParseFilter(ExprPtr value) {
  ExprPtr filter = Make(ExprKind::kFilter);
  DR_RETURN_IF_ERROR(Adopt(*filter, std::move(value)));
  DR_ASSIGN_OR_RETURN(filter->name, ParseDottedName());
  if (tokens_.IsOperator("(")) DR_RETURN_IF_ERROR(ParseArguments(*filter));
  return filter;
}

absl::StatusOr<ExprPtr> ExpressionParser::ParseFilterChain() {
  ExprPtr chain;
  do {
    DR_ASSIGN_OR_RETURN(chain, ParseFilter(std::move(chain)));
  } while (tokens_.SkipOperator("|"));
  return chain;
}

absl::StatusOr<ExprPtr> ExpressionParser::ParseTest(ExprPtr value) {
  const bool negated = tokens_.SkipName("not");
  ExprPtr test = Make(ExprKind::kTest);
  DR_RETURN_IF_ERROR(Adopt(*test, std::move(value)));
  DR_ASSIGN_OR_RETURN(test->name, ParseDottedName());
  const Token& next = tokens_.Current();
  if (next.IsOperator("(")) {
    DR_RETURN_IF_ERROR(ParseArguments(*test));
  } else if ((next.kind == TokenKind::kName && !next.IsName("else") && !next.IsName("or") &&
              !next.IsName("and")) ||
             next.kind == TokenKind::kString || next.kind == TokenKind::kInteger ||
             next.kind == TokenKind::kFloat || next.IsOperator("[") || next.IsOperator("{")) {
    if (next.IsName("is")) return tokens_.Fail("tests cannot be chained with 'is'");
    DR_ASSIGN_OR_RETURN(ExprPtr argument, ParsePrimary());
    DR_ASSIGN_OR_RETURN(argument, ParsePostfix(std::move(argument)));
    DR_RETURN_IF_ERROR(Adopt(*test, std::move(argument)));
  }
  if (!negated) return test;
  ExprPtr made = Make(ExprKind::kNot);
  DR_RETURN_IF_ERROR(Adopt(*made, std::move(test)));
  return made;
}

absl::StatusOr<ExprPtr> ExpressionParser::ParseSubscript(ExprPtr value) {
  if (tokens_.SkipOperator(".")) {
    ExprPtr made = Make(ExprKind::kAttribute);
    DR_RETURN_IF_ERROR(Adopt(*made, std::move(value)));
    if (tokens_.Current().kind == TokenKind::kInteger) {
      made->kind = ExprKind::kItem;
      DR_ASSIGN_OR_RETURN(ExprPtr index, ParseNumber());
      DR_RETURN_IF_ERROR(Adopt(*made, std::move(index)));
      return made;
    }
    DR_ASSIGN_OR_RETURN(made->name, tokens_.ExpectName());
    return made;
  }
  ExprPtr made = Make(ExprKind::kItem);
  tokens_.Take();
  DR_RETURN_IF_ERROR(Adopt(*made, std::move(value)));
  ExprPtr part;
  if (!tokens_.IsOperator(":")) {
    DR_ASSIGN_OR_RETURN(part, ParseTuple());
  }
  DR_RETURN_IF_ERROR(Adopt(*made, std::move(part)));
  if (tokens_.IsOperator(":")) made->kind = ExprKind::kSlice;
  while (made->children.size() < 4 && tokens_.SkipOperator(":")) {
    ExprPtr next;
    if (!tokens_.IsOperator(":") && !tokens_.IsOperator("]")) {
      DR_ASSIGN_OR_RETURN(next, Parse());
    }
    DR_RETURN_IF_ERROR(Adopt(*made, std::move(next)));
  }
  while (made->kind == ExprKind::kSlice && made->children.size() < 4) made->children.push_back(nullptr);
  DR_RETURN_IF_ERROR(tokens_.ExpectOperator("]"));
  return made;
}

absl::Status ExpressionParser::ParseArguments(Expr& call) {
  DR_RETURN_IF_ERROR(tokens_.ExpectOperator("("));
  bool first = true;
  while (!tokens_.IsOperator(")")) {
    if (!first) {
      DR_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      if (tokens_.IsOperator(")")) break;
    }
    first = false;
    if (tokens_.IsOperator("*") || tokens_.IsOperator("**")) {
      return tokens_.Fail("arguments by * and ** are not supported");
    }
    const bool is_named = tokens_.Current().kind == TokenKind::kName && tokens_.Next().IsOperator("=");
    std::string name;
    if (is_named) {
      name = tokens_.Take().text;
      tokens_.Take();
    } else if (!call.named.empty()) {
      return tokens_.Fail("an argument without a name follows one with a name");
    }
    DR_ASSIGN_OR_RETURN(ExprPtr argument, Parse());
    DR_RETURN_IF_ERROR(Adopt(call, std::move(argument)));
    if (is_named) {
      call.named.emplace_back(std::move(name), std::move(call.children.back()));
      call.children.pop_back();
    }
  }
  tokens_.Take();
  return absl::OkStatus();
}

}  // namespace deeprack::coordinator::jinja
