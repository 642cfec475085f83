// What the output of a sequence must keep to. Part of a request; travels to the ranks with the sequence.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"

namespace deeprack::model {

enum class ConstraintKind : uint8_t {
  kJsonObject,  // any JSON object; `text` is empty
  kJsonSchema,  // JSON that a JSON schema accepts; `text` is the schema
  kRegex,       // text that a regular expression matches as a whole; `text` is the expression
  kChoice,      // one of several texts; `text` is a JSON array of strings
  kGrammar,     // text of a grammar in EBNF whose first rule is `root`
  kTags,        // xgrammar's structural tag, JSON: texts, tokens and JSON schemas, one after the other
};

// A set of texts.
struct ConstraintSpec {
  ConstraintKind kind = ConstraintKind::kJsonObject;
  std::string text;

  bool operator==(const ConstraintSpec&) const = default;
};

// How a sequence's output begins.
enum class OutputStart : uint8_t {
  kAnswer,    // with the answer
  kMayThink,  // with think_begin, or with the answer
  kThinking,  // inside reasoning
};

// The constraint of one sequence. Reasoning comes first and is free; the answer begins after think_end.
struct Constraint {
  ConstraintSpec spec;
  // The text of the answer that stands at the prompt's end: the constraint goes on after this text.
  std::string prefix;
  OutputStart start = OutputStart::kAnswer;
  TokenId think_begin = -1;  // with kMayThink
  TokenId think_end = -1;    // with kMayThink and kThinking
  // Empty: the whole answer keeps to `spec`. Else reasoning and answer are free until one of these tokens
  // comes. The token begins a text of `spec`, and after the text the answer is free.
  std::vector<TokenId> triggers;
  // Tokens that are not drawn while the sequence thinks: end tokens, and markers of tool calls.
  std::vector<TokenId> not_while_thinking;

  bool operator==(const Constraint&) const = default;
};

}  // namespace deeprack::model
