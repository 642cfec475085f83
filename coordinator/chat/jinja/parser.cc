#include "coordinator/chat/jinja/parser.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/chat/jinja/expression_parser.h"
#include "coordinator/chat/jinja/lexer.h"

namespace deeprack::coordinator::jinja {
namespace {

using Names = std::initializer_list<std::string_view>;

class StatementParser {
 public:
  explicit StatementParser(std::vector<Token> tokens) : tokens_(std::move(tokens)), expressions_(tokens_) {}

  absl::StatusOr<Block> ParseAll() {
    DR_ASSIGN_OR_RETURN(Block block, ParseUntil({}));
    if (tokens_.Current().kind != TokenKind::kEnd) return tokens_.FailUnexpected("a statement");
    return block;
  }

 private:
  // The statements up to a {% tag %} with one of the names; the parser stands at the name. Without names: up
  // to the end of the template.
  absl::StatusOr<Block> ParseUntil(Names ends) {
    if (++nesting_ > kMaxNesting) {
      return absl::ResourceExhaustedError(absl::StrCat("line ", tokens_.Current().line,
                                                       ": statements are nested more than ", kMaxNesting,
                                                       " levels deep"));
    }
    Block block;
    while (true) {
      const Token& token = tokens_.Current();
      if (token.kind == TokenKind::kEnd) {
        if (ends.size() == 0) break;
        return tokens_.Fail(absl::StrCat("the template ends before {% ", View(*ends.begin()), " %}"));
      }
      auto statement = std::make_unique<Stmt>();
      statement->line = token.line;
      if (token.kind == TokenKind::kText) {
        statement->text = Value::Literal(tokens_.Take().text);
      } else if (token.kind == TokenKind::kVariableBegin) {
        tokens_.Take();
        statement->kind = StmtKind::kPrint;
        DR_ASSIGN_OR_RETURN(statement->value, expressions_.ParseTuple());
        if (tokens_.Current().kind != TokenKind::kVariableEnd) return tokens_.FailUnexpected("'}}'");
        tokens_.Take();
      } else {
        tokens_.Take();  // {%
        if (std::any_of(ends.begin(), ends.end(), [&](std::string_view end) { return tokens_.IsName(end); }))
          break;
        DR_RETURN_IF_ERROR(ParseStatement(*statement));
      }
      block.push_back(std::move(statement));
    }
    --nesting_;
    return block;
  }

  absl::Status EndTag() {
    if (tokens_.Current().kind != TokenKind::kBlockEnd) return tokens_.FailUnexpected("'%}'");
    tokens_.Take();
    return absl::OkStatus();
  }

  // "%} body {% end %}"
  absl::StatusOr<Block> ParseBody(std::string_view end) {
    DR_RETURN_IF_ERROR(EndTag());
    DR_ASSIGN_OR_RETURN(Block body, ParseUntil({end}));
    tokens_.Take();
    DR_RETURN_IF_ERROR(EndTag());
    return body;
  }

  absl::Status ParseStatement(Stmt& statement) {
    const std::string name = tokens_.Current().text;
    if (tokens_.SkipName("if")) return ParseIf(statement);
    if (tokens_.SkipName("for")) return ParseFor(statement);
    if (tokens_.SkipName("set")) return ParseSet(statement);
    if (tokens_.SkipName("macro")) return ParseMacro(statement);
    if (tokens_.SkipName("with")) return ParseWith(statement);
    if (tokens_.SkipName("filter")) {
      statement.kind = StmtKind::kFilter;
      DR_ASSIGN_OR_RETURN(statement.value, expressions_.ParseFilterChain());
      DR_ASSIGN_OR_RETURN(statement.body, ParseBody("endfilter"));
      return absl::OkStatus();
    }
    if (tokens_.SkipName("generation")) {
      statement.kind = StmtKind::kScope;
      DR_ASSIGN_OR_RETURN(statement.body, ParseBody("endgeneration"));
      return absl::OkStatus();
    }
    if (tokens_.IsName("break") || tokens_.IsName("continue")) {
      statement.kind = tokens_.Take().text == "break" ? StmtKind::kBreak : StmtKind::kContinue;
      if (loops_ == 0) return tokens_.Fail(absl::StrCat("{% ", name, " %} outside a loop"));
      return EndTag();
    }
    for (const std::string_view known :
         {"block", "extends", "include", "import", "from", "call", "autoescape", "do"}) {
      if (tokens_.IsName(known)) return tokens_.Fail(absl::StrCat("{% ", name, " %} is not supported"));
    }
    return tokens_.FailUnexpected("the name of a statement");
  }

  absl::Status ParseIf(Stmt& statement) {
    statement.kind = StmtKind::kIf;
    while (true) {
      Branch branch;
      DR_ASSIGN_OR_RETURN(branch.condition, expressions_.ParseTuple(/*with_conditional=*/false));
      DR_RETURN_IF_ERROR(EndTag());
      DR_ASSIGN_OR_RETURN(branch.body, ParseUntil({"endif", "elif", "else"}));
      statement.branches.push_back(std::move(branch));
      if (tokens_.SkipName("elif")) continue;
      if (tokens_.SkipName("else")) {
        DR_ASSIGN_OR_RETURN(statement.otherwise, ParseBody("endif"));
        return absl::OkStatus();
      }
      tokens_.Take();
      return EndTag();
    }
  }

  absl::Status ParseFor(Stmt& statement) {
    statement.kind = StmtKind::kFor;
    DR_ASSIGN_OR_RETURN(statement.target, ParseTarget(/*allow_attribute=*/false));
    if (!tokens_.SkipName("in")) return tokens_.FailUnexpected("'in'");
    DR_ASSIGN_OR_RETURN(statement.value, expressions_.ParseTuple(/*with_conditional=*/false));
    if (tokens_.SkipName("if")) {
      DR_ASSIGN_OR_RETURN(statement.condition, expressions_.Parse());
    }
    if (tokens_.IsName("recursive")) return tokens_.Fail("recursive loops are not supported");
    DR_RETURN_IF_ERROR(EndTag());
    ++loops_;
    DR_ASSIGN_OR_RETURN(statement.body, ParseUntil({"endfor", "else"}));
    --loops_;
    if (tokens_.SkipName("else")) {
      DR_ASSIGN_OR_RETURN(statement.otherwise, ParseBody("endfor"));
      return absl::OkStatus();
    }
    tokens_.Take();
    return EndTag();
  }

  absl::Status ParseSet(Stmt& statement) {
    DR_ASSIGN_OR_RETURN(statement.target, ParseTarget(/*allow_attribute=*/true));
    if (tokens_.SkipOperator("=")) {
      statement.kind = StmtKind::kSet;
      DR_ASSIGN_OR_RETURN(statement.value, expressions_.ParseTuple());
      return EndTag();
    }
    statement.kind = StmtKind::kSetBlock;
    if (tokens_.SkipOperator("|")) {
      DR_ASSIGN_OR_RETURN(statement.value, expressions_.ParseFilterChain());
    }
    DR_ASSIGN_OR_RETURN(statement.body, ParseBody("endset"));
    return absl::OkStatus();
  }

  absl::Status ParseMacro(Stmt& statement) {
    statement.kind = StmtKind::kMacro;
    DR_ASSIGN_OR_RETURN(statement.name, tokens_.ExpectName());
    DR_RETURN_IF_ERROR(tokens_.ExpectOperator("("));
    while (!tokens_.IsOperator(")")) {
      if (!statement.parameters.empty()) DR_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      if (tokens_.IsOperator(")")) break;
      Parameter parameter;
      DR_ASSIGN_OR_RETURN(parameter.name, tokens_.ExpectName());
      if (tokens_.SkipOperator("=")) {
        DR_ASSIGN_OR_RETURN(parameter.default_value, expressions_.Parse());
      } else if (!statement.parameters.empty() && statement.parameters.back().default_value != nullptr) {
        return tokens_.Fail(
            absl::StrCat("parameter ", parameter.name, " without a default follows one with a default"));
      }
      statement.parameters.push_back(std::move(parameter));
    }
    tokens_.Take();
    const int outer_loops = std::exchange(loops_, 0);
    DR_ASSIGN_OR_RETURN(statement.body, ParseBody("endmacro"));
    loops_ = outer_loops;
    return absl::OkStatus();
  }

  absl::Status ParseWith(Stmt& statement) {
    statement.kind = StmtKind::kScope;
    while (tokens_.Current().kind != TokenKind::kBlockEnd) {
      if (!statement.bindings.empty()) DR_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      Target target;
      DR_ASSIGN_OR_RETURN(target.name, tokens_.ExpectName());
      DR_RETURN_IF_ERROR(tokens_.ExpectOperator("="));
      DR_ASSIGN_OR_RETURN(ExprPtr value, expressions_.Parse());
      statement.bindings.emplace_back(std::move(target), std::move(value));
    }
    DR_ASSIGN_OR_RETURN(statement.body, ParseBody("endwith"));
    return absl::OkStatus();
  }

  absl::StatusOr<Target> ParseOneTarget(bool allow_attribute) {
    Target target;
    if (tokens_.SkipOperator("(")) {
      if (++nesting_ > kMaxNesting) return tokens_.Fail("targets are nested too deeply");
      DR_ASSIGN_OR_RETURN(target, ParseTarget(allow_attribute));
      --nesting_;
      DR_RETURN_IF_ERROR(tokens_.ExpectOperator(")"));
      return target;
    }
    DR_ASSIGN_OR_RETURN(target.name, tokens_.ExpectName());
    for (const std::string_view constant : {"true", "false", "none", "True", "False", "None"}) {
      if (target.name == constant) return tokens_.Fail(absl::StrCat("cannot assign to ", target.name));
    }
    if (allow_attribute && tokens_.SkipOperator(".")) {
      DR_ASSIGN_OR_RETURN(target.attribute, tokens_.ExpectName());
    }
    return target;
  }

  absl::StatusOr<Target> ParseTarget(bool allow_attribute) {
    DR_ASSIGN_OR_RETURN(Target first, ParseOneTarget(allow_attribute));
    if (!tokens_.IsOperator(",")) return first;
    Target tuple;
    tuple.is_tuple = true;
    tuple.several.push_back(std::move(first));
    while (tokens_.SkipOperator(",")) {
      if (tokens_.IsName("in") || tokens_.IsOperator("=") || tokens_.IsOperator(")")) break;
      DR_ASSIGN_OR_RETURN(Target next, ParseOneTarget(allow_attribute));
      tuple.several.push_back(std::move(next));
    }
    return tuple;
  }

  TokenStream tokens_;
  ExpressionParser expressions_;
  int nesting_ = 0;
  int loops_ = 0;  // loops around the statement
};

}  // namespace

absl::StatusOr<Block> ParseTemplate(std::string_view source) {
  if (source.size() > kMaxTemplateBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the template has ", source.size(), " bytes; at most ", kMaxTemplateBytes, " are read"));
  }
  DR_ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(source));
  return StatementParser(std::move(tokens)).ParseAll();
}

}  // namespace deeprack::coordinator::jinja
