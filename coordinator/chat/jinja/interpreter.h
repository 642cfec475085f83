// Runs one rendering of a template.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/chat/jinja/ast.h"
#include "coordinator/chat/jinja/budget.h"
#include "coordinator/chat/jinja/template.h"

namespace deeprack::coordinator::jinja {

// The variables that one statement's body sees, and the scope around it.
struct Scope {
  std::shared_ptr<Scope> parent;
  std::vector<std::pair<std::string, Value>> variables;

  void Set(std::string_view name, Value value);
  const Value* Find(std::string_view name) const;  // here or around; nullptr: none
};

class Interpreter {
 public:
  Interpreter(const Dict& variables, absl::Time now, const RenderLimits& limits);
  ~Interpreter();  // empties namespaces and scopes of macros, which may refer to one another in a circle
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  absl::StatusOr<Text> Run(const Block& statements);

 private:
  enum class Flow : uint8_t { kNext, kBreak, kContinue };

  // One more level is under way.
  class Depth {
   public:
    explicit Depth(Interpreter& interpreter) : interpreter_(interpreter) { ++interpreter_.depth_; }
    ~Depth() { --interpreter_.depth_; }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;

    absl::Status Check() const;  // ResourceExhausted beyond the limits of depth and steps

   private:
    Interpreter& interpreter_;
  };
  class ScopeHere;  // a new scope until the end of a C++ scope

  void AddGlobals(absl::Time now);
  void AddGlobal(std::string name, std::function<absl::StatusOr<Value>(const Arguments&)> code);

  absl::Status Execute(const Block& statements);
  absl::Status Execute(const Stmt& statement);
  absl::Status Write(const Text& text);
  absl::Status ExecuteIf(const Stmt& statement);
  absl::Status ExecuteFor(const Stmt& statement);
  absl::Status ExecuteScope(const Stmt& statement);
  absl::Status DefineMacro(const Stmt& statement);
  absl::StatusOr<Value> CallMacro(const Stmt& macro, const std::shared_ptr<Scope>& scope,
                                  const Arguments& given);
  absl::Status Assign(const Target& target, Value value);
  // The text that the statements write.
  absl::StatusOr<Text> Capture(const Block& statements);
  absl::StatusOr<bool> Accepts(const Stmt& loop, const std::shared_ptr<Scope>& around, const Value& item);

  // The value of the expression. Errors have the line.
  absl::StatusOr<Value> Evaluate(const Expr& expression);
  absl::StatusOr<Value> EvaluateHere(const Expr& expression);
  absl::StatusOr<Value> EvaluateBinary(const Expr& expression);
  absl::StatusOr<Value> EvaluateConcat(const Expr& expression);
  absl::StatusOr<Value> EvaluateCompare(const Expr& expression);
  absl::StatusOr<Value> EvaluateConditional(const Expr& expression);
  absl::StatusOr<Value> EvaluateDict(const Expr& expression);
  absl::StatusOr<Value> EvaluateSlice(const Expr& expression);
  absl::StatusOr<Value> EvaluateCall(const Expr& expression);
  absl::StatusOr<Value> CallValue(const Value& function, const Expr& call);
  absl::StatusOr<Value> EvaluateFilter(const Expr& expression);
  absl::StatusOr<std::vector<Value>> EvaluateAll(const Expr& expression);
  // The chain of filters of a filter block or a set block, applied to the text that the block writes.
  absl::StatusOr<Value> EvaluateChain(const Expr& chain, Value written);
  absl::StatusOr<Arguments> EvaluateArguments(const Expr& call);
  Value Lookup(const std::string& name) const;

  // Adds the line to an error that has none yet.
  absl::Status Located(int line, absl::Status error);

  RenderLimits limits_;
  Budget budget_;
  std::shared_ptr<Scope> scope_;
  Text* out_ = nullptr;
  Value written_block_;  // the value that the innermost chain of filters begins with
  Flow flow_ = Flow::kNext;
  int depth_ = 0;
  bool located_ = false;
  size_t written_ = 0;
  std::vector<std::shared_ptr<Namespace>> namespaces_;
  std::vector<std::shared_ptr<Scope>> macro_scopes_;
};

}  // namespace deeprack::coordinator::jinja
