// The modules that a quantization_config means when it lists names, parts of names or regular expressions. A
// module's name is a weight's without ".weight": "model.layers.3.mlp.experts.7.up_proj".
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"

namespace deeprack::model {

// Immutable once filled; copies share the compiled expressions, and any thread may ask.
class ModulePatterns {
 public:
  // The module of exactly this name (compressed-tensors).
  void AddName(std::string name) { names_.insert(std::move(name)); }

  // InvalidArgument: more than kMaxSearched of the following.
  static constexpr size_t kMaxSearched = 1000;
  // Every module whose name holds the text anywhere, as AutoAWQ and vLLM read `modules_to_not_convert`.
  absl::Status AddPart(std::string part);
  // Every module whose last components are these: "mlp.up_proj" (GPTQ's `modules_in_block_to_quantize`).
  absl::Status AddLast(std::string components);
  // Every module whose name begins with a match, as Python's re.match. InvalidArgument also: no valid
  // expression, or one of more than 1000 characters. A search that takes more than ten thousand steps (those
  // of real configurations take dozens) is no match.
  absl::Status AddExpression(const std::string& expression);

  bool Match(const std::string& module) const;
  bool empty() const { return names_.empty() && parts_.empty() && last_.empty() && expressions_.empty(); }

 private:
  struct Expression;
  absl::Status CheckRoom() const;

  absl::flat_hash_set<std::string> names_;
  std::vector<std::string> parts_;
  std::vector<std::string> last_;
  std::vector<std::shared_ptr<const Expression>> expressions_;
};

}  // namespace deeprack::model
