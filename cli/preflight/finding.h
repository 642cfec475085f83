// One row of what `deeprack preflight` tells.
#pragma once

#include <string>
#include <vector>

namespace deeprack::cli {

enum class Verdict { kOk, kWarning, kFail };

struct Finding {
  std::string check;    // "clock", "link"
  std::string subject;  // the host, link or port: "node2", "node2 -> node3"
  Verdict verdict = Verdict::kOk;
  std::string found;
  std::string remedy;  // what to do; "" with kOk
};

using Findings = std::vector<Finding>;

}  // namespace deeprack::cli
