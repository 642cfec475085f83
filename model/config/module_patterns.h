// The modules that a quantization_config selects by names, by parts of names or by regular expressions. A
// module's name is its weight's name without ".weight": "model.layers.3.mlp.experts.7.up_proj".
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"

namespace deeprack::model {

// Fill it first; then Match may be called from any thread. Copies share the compiled expressions.
class ModulePatterns {
 public:
  // Selects the module with exactly this name (compressed-tensors).
  void AddName(std::string name) { names_.insert(std::move(name)); }

  // The functions below return InvalidArgument after kMaxSearched parts, last components and expressions
  // together.
  static constexpr size_t kMaxSearched = 1000;
  // Selects every module whose name contains `part`, as AutoAWQ and vLLM read `modules_to_not_convert`.
  absl::Status AddPart(std::string part);
  // Selects every module whose name ends with these components: "mlp.up_proj" (GPTQ's
  // `modules_in_block_to_quantize`).
  absl::Status AddLast(std::string components);
  // Selects every module whose name begins with a match, as Python's re.match. InvalidArgument also: an
  // invalid expression, or an expression of more than 1000 characters. A search that takes more than ten
  // thousand steps counts as no match; searches with the expressions of real configurations take dozens of
  // steps.
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
