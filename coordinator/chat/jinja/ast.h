// A parsed template: a tree of statements and expressions. Immutable after parsing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/chat/jinja/value.h"

namespace deeprack::coordinator::jinja {

enum class ExprKind : uint8_t {
  kConstant,     // constant
  kName,         // name
  kList,         // children
  kTuple,        // children
  kDict,         // children: key, value, key, value, ...
  kAttribute,    // children[0].name
  kItem,         // children[0][children[1]]
  kSlice,        // children[0][begin:end:step]; children 1 to 3 may be nullptr
  kCall,         // children[0](children[1], ..., named)
  kFilter,       // children[0] | name(children[1], ..., named); in a filter block children[0] is nullptr
  kTest,         // children[0] is name(children[1], ..., named)
  kNot,          // children[0]
  kNegate,       // children[0]
  kPlus,         // children[0]
  kBinary,       // children[0] name children[1]; name is the operator
  kConcat,       // children joined as text
  kCompare,      // children[0] operators[0] children[1] operators[1] ...
  kAnd,          // children[0], children[1]
  kOr,           // children[0], children[1]
  kConditional,  // children: value, condition, other value; the last may be nullptr
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Expr {
  ExprKind kind = ExprKind::kConstant;
  int line = 1;
  int height = 1;  // levels of the tree below, this one included
  std::string name;
  Value constant;
  std::vector<ExprPtr> children;
  std::vector<std::pair<std::string, ExprPtr>> named;  // arguments by name
  std::vector<std::string> operators;
};

enum class StmtKind : uint8_t {
  kText,      // text
  kPrint,     // value
  kIf,        // branches; otherwise
  kFor,       // target, value, condition (may be nullptr), body, otherwise
  kSet,       // target, value
  kSetBlock,  // target, body, value (a chain of filters, may be nullptr)
  kMacro,     // name, parameters, body
  kFilter,    // value (a chain of filters), body
  kScope,     // targets and values of a `with`, body; without targets: a generation block
  kBreak,
  kContinue,
};

struct Stmt;
using Block = std::vector<std::unique_ptr<Stmt>>;

// What an assignment sets: a name, an attribute of a namespace, or several targets.
struct Target {
  std::string name;
  std::string attribute;        // not empty: the attribute of the namespace `name`
  std::vector<Target> several;  // not empty: a tuple is unpacked
  bool is_tuple = false;
};

struct Parameter {
  std::string name;
  ExprPtr default_value;  // nullptr: none
};

struct Branch {
  ExprPtr condition;
  Block body;
};

struct Stmt {
  StmtKind kind = StmtKind::kText;
  int line = 1;
  Value text;
  std::string name;
  Target target;
  ExprPtr value, condition;
  std::vector<Branch> branches;
  Block body, otherwise;
  std::vector<Parameter> parameters;
  std::vector<std::pair<Target, ExprPtr>> bindings;
};

}  // namespace deeprack::coordinator::jinja
