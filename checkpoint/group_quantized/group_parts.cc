#include "checkpoint/group_quantized/group_parts.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/check.h"
#include "base/checked.h"
#include "base/message_text.h"
#include "base/status_macros.h"

namespace deeprack::checkpoint {
namespace {

using model::GroupLayout;

std::string ModuleOf(const std::string& weight) { return std::string(absl::StripSuffix(weight, ".weight")); }

class PartFinder {
 public:
  PartFinder(const CheckpointReader& reader, const std::string& weight)
      : reader_(reader), weight_(weight), module_(ModuleOf(weight)) {}

  const std::string& weight() const { return weight_; }
  bool Has(const char* part) const { return reader_.Find(NameOf(part)) != nullptr; }

  absl::StatusOr<GroupPart> Find(const char* part, std::initializer_list<DType> types,
                                 const std::vector<int64_t>& shape) const {
    GroupPart found = {.name = NameOf(part)};
    const TensorView* view = reader_.Find(found.name);
    if (view == nullptr) return Missing(found.name, shape);
    if (std::find(types.begin(), types.end(), view->dtype) == types.end()) {
      std::string expected;
      for (const DType type : types) {
        absl::StrAppend(&expected, expected.empty() ? "" : " or ", std::string(Name(type)));
      }
      return Wrong(found.name, absl::StrCat("is ", std::string(Name(view->dtype)), ", expected ", expected));
    }
    if (view->shape != shape) {
      return Wrong(found.name, absl::StrCat("has shape ", ShapeText(view->shape), ", expected ",
                                            ShapeText(shape), " from config.json"));
    }
    found.view = *view;
    return found;
  }

 private:
  std::string NameOf(const char* part) const { return absl::StrCat(module_, ".", part); }

  absl::Status Missing(const std::string& name, const std::vector<int64_t>& shape) const {
    const TensorView* unquantised = reader_.Find(weight_);
    if (unquantised != nullptr && unquantised->dtype != DType::kI8) {
      return absl::InvalidArgumentError(absl::StrCat(
          reader_.FileOf(weight_), ": ", weight_, " is stored as ", std::string(Name(unquantised->dtype)),
          ", but config.json's quantization_config says that it is quantised (", name,
          "): name its module in modules_to_not_convert or ignore"));
    }
    return absl::NotFoundError(absl::StrCat(reader_.folder(), ": tensor ", name, " ", ShapeText(shape),
                                            ", a part of the quantised ", weight_,
                                            ", is missing: fetch the file that holds the tensor"));
  }

  absl::Status Wrong(const std::string& name, const std::string& what) const {
    return absl::InvalidArgumentError(absl::StrCat(reader_.FileOf(name), ": tensor ", name, " ", what));
  }

  const CheckpointReader& reader_;
  const std::string& weight_;
  const std::string module_;
};

absl::Status CheckDivides(int64_t size, const char* what, const std::string& weight) {
  if (size % kWordValues == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(weight, " has ", size, " ", what,
                                                 ", but its quantisation packs multiples of ", kWordValues,
                                                 ": use the config.json of this checkpoint"));
}

absl::Status FindTransposed(const PartFinder& finder, bool awq, int64_t rows, int64_t cols,
                            GroupParts& parts) {
  const int64_t groups = CeilDiv(cols, kGroup);
  DR_RETURN_IF_ERROR(CheckDivides(rows, "rows", finder.weight()));
  if (!awq) DR_RETURN_IF_ERROR(CheckDivides(cols, "columns", finder.weight()));
  const std::vector<int64_t> words =
      awq ? std::vector<int64_t>{cols, rows / kWordValues} : std::vector<int64_t>{cols / kWordValues, rows};
  DR_ASSIGN_OR_RETURN(parts.values, finder.Find("qweight", {DType::kI32}, words));
  DR_ASSIGN_OR_RETURN(parts.zeros, finder.Find("qzeros", {DType::kI32}, {groups, rows / kWordValues}));
  DR_ASSIGN_OR_RETURN(parts.scales,
                      finder.Find("scales", {DType::kF16, DType::kBF16, DType::kF32}, {groups, rows}));
  return absl::OkStatus();
}

absl::Status FindCompressedTensors(const PartFinder& finder, const model::GroupQuantization& quantization,
                                   int64_t rows, int64_t cols, GroupParts& parts) {
  const bool int4 = quantization.layout == GroupLayout::kPackQuantized;
  const int64_t groups = int4 ? CeilDiv(cols, kGroup) : 1;
  if (int4) {
    DR_ASSIGN_OR_RETURN(parts.values,
                        finder.Find("weight_packed", {DType::kI32}, {rows, CeilDiv(cols, kWordValues)}));
    DR_ASSIGN_OR_RETURN(parts.shape, finder.Find("weight_shape", {DType::kI64, DType::kI32}, {2}));
  } else {
    DR_ASSIGN_OR_RETURN(parts.values, finder.Find("weight", {DType::kI8}, {rows, cols}));
  }
  DR_ASSIGN_OR_RETURN(parts.scales,
                      finder.Find("weight_scale", {DType::kBF16, DType::kF16, DType::kF32}, {rows, groups}));
  if (int4 && !quantization.symmetric) {
    DR_ASSIGN_OR_RETURN(
        parts.zeros, finder.Find("weight_zero_point", {DType::kI32}, {CeilDiv(rows, kWordValues), groups}));
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<const GroupPart*> GroupParts::All() const {
  std::vector<const GroupPart*> all = {&values, &scales};
  for (const auto* part : {&zeros, &column_group, &shape}) {
    if (*part) all.push_back(&**part);
  }
  return all;
}

absl::StatusOr<GroupParts> FindGroupParts(const CheckpointReader& reader,
                                          const model::GroupQuantization& quantization,
                                          const std::string& weight, int64_t rows, int64_t cols) {
  DR_CHECK(rows > 0 && cols > 0);
  const PartFinder finder(reader, weight);
  GroupParts parts;
  const char* column_group = "g_idx";
  bool required = false;
  switch (quantization.layout) {
    case GroupLayout::kAwq:
      DR_RETURN_IF_ERROR(FindTransposed(finder, /*awq=*/true, rows, cols, parts));
      return parts;
    case GroupLayout::kGptq:
      DR_RETURN_IF_ERROR(FindTransposed(finder, /*awq=*/false, rows, cols, parts));
      required = quantization.act_order;
      break;
    case GroupLayout::kIntQuantized:
      DR_RETURN_IF_ERROR(FindCompressedTensors(finder, quantization, rows, cols, parts));
      return parts;
    case GroupLayout::kPackQuantized:
      DR_RETURN_IF_ERROR(FindCompressedTensors(finder, quantization, rows, cols, parts));
      column_group = "weight_g_idx";  // absent if the columns turned out to be in order
      break;
  }
  if (required || finder.Has(column_group)) {
    DR_ASSIGN_OR_RETURN(parts.column_group, finder.Find(column_group, {DType::kI32}, {cols}));
  }
  return parts;
}

std::string AnyGroupPart(const CheckpointReader& reader, const std::string& weight) {
  for (const char* part : {".qweight", ".weight_packed"}) {
    std::string name = ModuleOf(weight) + part;
    if (reader.Find(name) != nullptr) return name;
  }
  return "";
}

}  // namespace deeprack::checkpoint
