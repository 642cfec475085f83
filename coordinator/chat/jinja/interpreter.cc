#include "coordinator/chat/jinja/interpreter.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/chat/jinja/print.h"

namespace deeprack::coordinator::jinja {

void Scope::Set(std::string_view name, Value value) {
  for (auto& [known, old_value] : variables) {
    if (known != name) continue;
    old_value = std::move(value);
    return;
  }
  variables.emplace_back(std::string(name), std::move(value));
}

const Value* Scope::Find(std::string_view name) const {
  for (const Scope* scope = this; scope != nullptr; scope = scope->parent.get()) {
    for (const auto& [known, value] : scope->variables) {
      if (known == name) return &value;
    }
  }
  return nullptr;
}

absl::Status Interpreter::Depth::Check() const {
  DR_RETURN_IF_ERROR(interpreter_.budget_.Spend(1));
  if (interpreter_.depth_ <= interpreter_.limits_.depth) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("the template is more than ", interpreter_.limits_.depth, " levels deep in itself"));
}

class Interpreter::ScopeHere {
 public:
  ScopeHere(Interpreter& interpreter, std::shared_ptr<Scope> parent)
      : interpreter_(interpreter), outer_(interpreter.scope_) {
    interpreter_.scope_ = std::make_shared<Scope>();
    interpreter_.scope_->parent = std::move(parent);
  }
  explicit ScopeHere(Interpreter& interpreter) : ScopeHere(interpreter, interpreter.scope_) {}
  ~ScopeHere() { interpreter_.scope_ = std::move(outer_); }
  ScopeHere(const ScopeHere&) = delete;
  ScopeHere& operator=(const ScopeHere&) = delete;

 private:
  Interpreter& interpreter_;
  std::shared_ptr<Scope> outer_;
};

Interpreter::Interpreter(const Dict& variables, absl::Time now, const RenderLimits& limits)
    : limits_(limits), budget_(limits.steps), scope_(std::make_shared<Scope>()) {
  AddGlobals(now);
  for (const auto& [name, value] : variables.entries()) scope_->Set(name.bytes(), value);
}

Interpreter::~Interpreter() {
  for (const std::shared_ptr<Namespace>& name_space : namespaces_) name_space->attributes = Dict();
  for (const std::shared_ptr<Scope>& scope : macro_scopes_) scope->variables.clear();
}

absl::StatusOr<Text> Interpreter::Run(const Block& statements) {
  Text text;
  out_ = &text;
  DR_RETURN_IF_ERROR(Execute(statements));
  return text;
}

absl::Status Interpreter::Located(int line, absl::Status error) {
  if (std::exchange(located_, true)) return error;
  return absl::Status(error.code(), absl::StrCat("line ", line, ": ", error.message()));
}

absl::Status Interpreter::Execute(const Block& statements) {
  for (const auto& statement : statements) {
    if (absl::Status status = Execute(*statement); !status.ok())
      return Located(statement->line, std::move(status));
    if (flow_ != Flow::kNext) break;
  }
  return absl::OkStatus();
}

absl::Status Interpreter::Execute(const Stmt& statement) {
  const Depth depth(*this);
  DR_RETURN_IF_ERROR(depth.Check());
  switch (statement.kind) {
    case StmtKind::kText:
      return Write(statement.text.text());
    case StmtKind::kPrint: {
      DR_ASSIGN_OR_RETURN(const Value value, Evaluate(*statement.value));
      if (value.is_string()) return Write(value.text());
      DR_ASSIGN_OR_RETURN(const Text text, ToText(value));
      return Write(text);
    }
    case StmtKind::kIf:
      return ExecuteIf(statement);
    case StmtKind::kFor:
      return ExecuteFor(statement);
    case StmtKind::kSet: {
      DR_ASSIGN_OR_RETURN(Value value, Evaluate(*statement.value));
      return Assign(statement.target, std::move(value));
    }
    case StmtKind::kSetBlock: {
      DR_ASSIGN_OR_RETURN(Text text, Capture(statement.body));
      Value value = Value::String(std::move(text));
      if (statement.value != nullptr) {
        DR_ASSIGN_OR_RETURN(value, EvaluateChain(*statement.value, std::move(value)));
      }
      return Assign(statement.target, std::move(value));
    }
    case StmtKind::kFilter: {
      DR_ASSIGN_OR_RETURN(Text text, Capture(statement.body));
      DR_ASSIGN_OR_RETURN(const Value value, EvaluateChain(*statement.value, Value::String(std::move(text))));
      DR_ASSIGN_OR_RETURN(const Text filtered, ToText(value));
      return Write(filtered);
    }
    case StmtKind::kMacro:
      return DefineMacro(statement);
    case StmtKind::kScope:
      return ExecuteScope(statement);
    case StmtKind::kBreak:
      flow_ = Flow::kBreak;
      return absl::OkStatus();
    case StmtKind::kContinue:
      flow_ = Flow::kContinue;
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Status Interpreter::Write(const Text& text) {
  written_ += text.size();
  if (written_ > limits_.output_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the template writes more than ", limits_.output_bytes, " bytes"));
  }
  out_->Append(text);
  return absl::OkStatus();
}

absl::StatusOr<Text> Interpreter::Capture(const Block& statements) {
  const ScopeHere scope(*this);
  Text text;
  Text* const outer = std::exchange(out_, &text);
  const absl::Status status = Execute(statements);
  out_ = outer;
  DR_RETURN_IF_ERROR(status);
  return text;
}

absl::Status Interpreter::ExecuteIf(const Stmt& statement) {
  for (const Branch& branch : statement.branches) {
    DR_ASSIGN_OR_RETURN(const Value condition, Evaluate(*branch.condition));
    if (IsTrue(condition)) return Execute(branch.body);
  }
  return Execute(statement.otherwise);
}

absl::StatusOr<bool> Interpreter::Accepts(const Stmt& loop, const std::shared_ptr<Scope>& around,
                                          const Value& item) {
  const ScopeHere scope(*this, around);
  DR_RETURN_IF_ERROR(Assign(loop.target, item));
  DR_ASSIGN_OR_RETURN(const Value condition, Evaluate(*loop.condition));
  return IsTrue(condition);
}

absl::Status Interpreter::ExecuteFor(const Stmt& statement) {
  DR_ASSIGN_OR_RETURN(const Value iterable, Evaluate(*statement.value));
  const auto loop = std::make_shared<Loop>();
  DR_ASSIGN_OR_RETURN(loop->source, Iterate(iterable));
  const std::shared_ptr<Scope> around = scope_;
  if (statement.condition != nullptr) {
    loop->accepts = [this, &statement, around](const Value& item) {
      return Accepts(statement, around, item);
    };
  }
  bool body_ended = false;  // jinja2 takes the else if no round has reached the body's end
  const auto run = [&]() -> absl::Status {
    while (true) {
      DR_ASSIGN_OR_RETURN(std::optional<Value> item, loop->Take());
      if (!item) return absl::OkStatus();
      DR_RETURN_IF_ERROR(budget_.Spend(1));
      loop->previous = std::exchange(loop->current, *std::move(item));
      ++loop->index0;
      const ScopeHere scope(*this);
      scope_->Set("loop", Value::Of(loop));
      DR_RETURN_IF_ERROR(Assign(statement.target, loop->current));
      DR_RETURN_IF_ERROR(Execute(statement.body));
      const Flow flow = std::exchange(flow_, Flow::kNext);
      if (flow == Flow::kBreak) return absl::OkStatus();
      body_ended |= flow == Flow::kNext;
    }
  };
  const absl::Status status = run();
  // A loop that was kept in a namespace has ended, and refers to nothing.
  loop->source.clear();
  loop->accepts = nullptr;
  loop->last_changed = Value();
  loop->ahead.clear();
  DR_RETURN_IF_ERROR(status);
  if (body_ended) return absl::OkStatus();
  const ScopeHere scope(*this);
  return Execute(statement.otherwise);
}

absl::Status Interpreter::ExecuteScope(const Stmt& statement) {
  std::vector<Value> values;  // the expressions of a `with` see the scope around it
  for (const auto& [target, expression] : statement.bindings) {
    DR_ASSIGN_OR_RETURN(Value value, Evaluate(*expression));
    values.push_back(std::move(value));
  }
  const ScopeHere scope(*this);
  for (size_t i = 0; i < values.size(); ++i) {
    DR_RETURN_IF_ERROR(Assign(statement.bindings[i].first, std::move(values[i])));
  }
  return Execute(statement.body);
}

absl::Status Interpreter::Assign(const Target& target, Value value) {
  if (target.is_tuple) {
    DR_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(value));
    if (items.size() != target.several.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("cannot unpack ", items.size(), " values into ", target.several.size(), " names"));
    }
    for (size_t i = 0; i < items.size(); ++i)
      DR_RETURN_IF_ERROR(Assign(target.several[i], std::move(items[i])));
    return absl::OkStatus();
  }
  if (target.attribute.empty()) {
    scope_->Set(target.name, std::move(value));
    return absl::OkStatus();
  }
  const Value name_space = Lookup(target.name);
  if (!name_space.is(Kind::kNamespace)) {
    return absl::InvalidArgumentError(absl::StrCat("cannot assign attribute '", target.attribute, "': '",
                                                   target.name, "' is no namespace but ",
                                                   TypeName(name_space)));
  }
  name_space.name_space().attributes.Set(target.attribute, std::move(value));
  return absl::OkStatus();
}

absl::Status Interpreter::DefineMacro(const Stmt& statement) {
  // The scope holds the macro, and the macro a pointer to the scope: the interpreter keeps the scope.
  if (macro_scopes_.empty() || macro_scopes_.back() != scope_) macro_scopes_.push_back(scope_);
  const std::weak_ptr<Scope> defined_in = scope_;
  scope_->Set(statement.name,
              Value::Of(Function{statement.name, [this, &statement, defined_in](const Arguments& given) {
                                   return CallMacro(statement, defined_in.lock(), given);
                                 }}));
  return absl::OkStatus();
}

absl::StatusOr<Value> Interpreter::CallMacro(const Stmt& macro, const std::shared_ptr<Scope>& scope,
                                             const Arguments& given) {
  const Depth depth(*this);
  DR_RETURN_IF_ERROR(depth.Check());
  if (given.positional.size() > macro.parameters.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("macro '", macro.name, "' takes not more than ", macro.parameters.size(), " arguments"));
  }
  std::vector<std::optional<Value>> values(macro.parameters.size());
  std::copy(given.positional.begin(), given.positional.end(), values.begin());
  for (const auto& [name, value] : given.named) {
    const auto found = std::find_if(macro.parameters.begin(), macro.parameters.end(),
                                    [&name = name](const Parameter& parameter) { return parameter.name == name; });
    if (found == macro.parameters.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("macro '", macro.name, "' takes no keyword argument '", name, "'"));
    }
    std::optional<Value>& place = values[static_cast<size_t>(found - macro.parameters.begin())];
    if (place) {
      return absl::InvalidArgumentError(
          absl::StrCat("macro '", macro.name, "' got the argument '", name, "' twice"));
    }
    place = value;
  }
  const ScopeHere body(*this, scope);
  for (size_t i = 0; i < values.size(); ++i) {
    const Parameter& parameter = macro.parameters[i];
    if (!values[i] && parameter.default_value != nullptr) {
      DR_ASSIGN_OR_RETURN(values[i], Evaluate(*parameter.default_value));
    }
    if (!values[i])
      values[i] = Value::Undefined(absl::StrCat("parameter '", parameter.name, "' was not provided"));
    scope_->Set(parameter.name, *std::move(values[i]));
  }
  Text text;
  Text* const outer = std::exchange(out_, &text);
  const absl::Status status = Execute(macro.body);
  out_ = outer;
  DR_RETURN_IF_ERROR(status);
  return Value::String(std::move(text));
}

}  // namespace deeprack::coordinator::jinja
