#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/quantize/quantize.h"
#include "cli/terminal/terminal.h"

namespace deeprack::cli {
namespace {

using model::TensorKind;

enum class Class { kExperts, kShared, kFeedForward, kAttention, kEmbedding, kHead, kMtp, kOther };

const char* Name(Class kind) {
  switch (kind) {
    case Class::kExperts:
      return "routed experts";
    case Class::kShared:
      return "shared experts";
    case Class::kFeedForward:
      return "dense layers";
    case Class::kAttention:
      return "attention";
    case Class::kEmbedding:
      return "embedding";
    case Class::kHead:
      return "head";
    case Class::kMtp:
      return "MTP projection";
    case Class::kOther:
      return "norms, routers";
  }
  return "";
}

Class ClassOf(std::optional<TensorKind> kind) {
  if (!kind) return Class::kOther;
  switch (*kind) {
    case TensorKind::kExpertGate:
    case TensorKind::kExpertUp:
    case TensorKind::kExpertDown:
      return Class::kExperts;
    case TensorKind::kSharedGate:
    case TensorKind::kSharedUp:
    case TensorKind::kSharedDown:
      return Class::kShared;
    case TensorKind::kGateProj:
    case TensorKind::kUpProj:
    case TensorKind::kDownProj:
      return Class::kFeedForward;
    case TensorKind::kQProj:
    case TensorKind::kQAProj:
    case TensorKind::kQBProj:
    case TensorKind::kKvAProj:
    case TensorKind::kKvBProj:
    case TensorKind::kKBProj:
    case TensorKind::kVBProj:
    case TensorKind::kKProj:
    case TensorKind::kVProj:
    case TensorKind::kOProj:
      return Class::kAttention;
    case TensorKind::kEmbedTokens:
    case TensorKind::kMtpEmbedTokens:
      return Class::kEmbedding;
    case TensorKind::kLmHead:
    case TensorKind::kMtpHead:
      return Class::kHead;
    case TensorKind::kMtpProj:
      return Class::kMtp;
    default:
      return Class::kOther;
  }
}

struct Row {
  int64_t parameters = 0;
  int64_t bytes = 0;
  std::set<DType> types;
};

std::string Line(const char* name, const Row& row) {
  std::vector<std::string> types;
  for (DType type : row.types) types.emplace_back(Name(type));
  return absl::StrFormat("%-16s %16d %8.2f %12s  %s\n", name, row.parameters,
                         8.0 * static_cast<double>(row.bytes) / static_cast<double>(row.parameters),
                         FormatBytes(static_cast<double>(row.bytes)), absl::StrJoin(types, " "));
}

}  // namespace

std::string QuantizationSummary(const std::vector<WrittenTensor>& tensors) {
  std::map<Class, Row> rows;
  Row all;
  for (const WrittenTensor& tensor : tensors) {
    for (Row* row : {&rows[ClassOf(tensor.kind)], &all}) {
      row->parameters += tensor.parameters;
      row->bytes += tensor.bytes;
    }
    rows[ClassOf(tensor.kind)].types.insert(tensor.type);
  }
  std::string table =
      absl::StrFormat("%-16s %16s %8s %12s  %s\n", "", "weights", "bits each", "size", "types");
  for (const auto& [kind, row] : rows) table += Line(Name(kind), row);
  return table + Line("all", all);
}

}  // namespace deeprack::cli
