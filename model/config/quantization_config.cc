#include "model/config/quantization_config.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "model/config/config_bounds.h"

namespace deeprack::model {
namespace {

using nlohmann::json;

// The only rows and columns of an fp8 block that the kernels compute with: the size in R1's and Hugging
// Face's fine-grained fp8 checkpoints.
constexpr int64_t kScaleBlock = 128;
constexpr int64_t kGroupSize = 128;
constexpr size_t kMaxGroupName = 60;
constexpr char kExpressionPrefix[] = "re:";

// Reads an array of strings, or an array of arrays of strings. Absent: an empty vector.
std::vector<std::string> ReadStrings(const json& object, const char* key, JsonFields fields) {
  std::vector<std::string> strings;
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return strings;
  const auto append = [&](const json& value) {
    if (!value.is_string() || value.get_ref<const std::string&>().empty()) return false;
    strings.push_back(value.get<std::string>());
    return true;
  };
  bool good = found->is_array();
  for (size_t i = 0; good && i < found->size(); ++i) {
    const json& element = (*found)[i];
    if (!element.is_array()) {
      good = append(element);
      continue;
    }
    for (const json& inner : element) good = good && append(inner);
  }
  if (!good) fields.Fault(absl::StrCat(key, " must be an array of strings"));
  return strings;
}

void RequireExactly(const char* key, int64_t value, const char* why, JsonFields fields) {
  if (!fields.Has(key)) fields.Fault(absl::StrCat(key, " is missing: ", value, " is required (", why, ")"));
  fields.RequireInteger(key, value, why);
}

void FaultUnless(const absl::Status& added, const char* key, JsonFields fields) {
  if (!added.ok()) fields.Fault(absl::StrCat(key, ": ", std::string(added.message())));
}

// modules_to_not_convert may only name modules that R1's checkpoint keeps unquantised.
void CheckUnquantisedModules(const json& quantization, JsonFields fields) {
  for (const std::string& name : ReadStrings(quantization, "modules_to_not_convert", fields)) {
    const auto ends_in = [&](const char* suffix) { return absl::EndsWith(name, suffix); };
    const bool unquantised = ends_in("lm_head") || ends_in("embed_tokens") || ends_in("eh_proj") ||
                             ends_in("mlp.gate") || ends_in("norm") || name == "gate";
    if (!unquantised) {
      fields.Fault(
          absl::StrCat("modules_to_not_convert holds \"", name.substr(0, 60),
                       "\": only embeddings, lm_head, norms, mlp.gate and eh_proj may stay unquantised"));
      return;
    }
  }
}

Fp8BlockQuantization ReadFp8(const json& object, JsonFields fields) {
  fields.RequireString("fmt", {"e4m3"});
  fields.RequireString("activation_scheme", {"dynamic"});
  // The rounding of activations' scales. Activations are not quantised here, so both values are accepted.
  fields.RequireString("scale_fmt", {"float", "ue8m0"});
  const std::vector<int64_t> block = fields.Integers("weight_block_size", {1, kMaxWidth});
  if (block != std::vector<int64_t>{kScaleBlock, kScaleBlock}) {
    fields.Fault(absl::StrCat("weight_block_size must be [", kScaleBlock, ", ", kScaleBlock, "]"));
  }
  CheckUnquantisedModules(object, fields);
  return {.block_rows = kScaleBlock, .block_cols = kScaleBlock};
}

GroupQuantization ReadAwq(const json& object, JsonFields fields) {
  RequireExactly("bits", 4, "AWQ's gemm layout packs 4 bits", fields);
  RequireExactly("group_size", kGroupSize, "the kernels' groups", fields);
  fields.RequireString("version", {"gemm", "GEMM"});
  fields.RequireBool("zero_point", true);
  GroupQuantization awq = {.layout = GroupLayout::kAwq, .symmetric = false};
  for (std::string& module : ReadStrings(object, "modules_to_not_convert", fields)) {
    FaultUnless(awq.skipped.AddPart(std::move(module)), "modules_to_not_convert", fields);
  }
  return awq;
}

// `dynamic` of GPTQModel: regular expressions over module names, each with its own settings. "-:" before an
// expression means that matching modules are not quantised.
void ReadDynamic(const json& object, ModulePatterns& skipped, JsonFields fields) {
  const auto dynamic = object.find("dynamic");
  if (dynamic == object.end() || dynamic->is_null()) return;
  if (!dynamic->is_object()) {
    fields.Fault("dynamic must be an object or null");
    return;
  }
  for (const auto& [expression, settings] : dynamic->items()) {
    if (!absl::StartsWith(expression, "-:")) {
      fields.Fault(absl::StrCat(
          "dynamic holds \"", expression.substr(0, 60),
          "\": only expressions with \"-:\" before them (modules that are not quantised) are served; all "
          "other modules must have the same bits and group_size"));
      return;
    }
    FaultUnless(skipped.AddExpression(expression.substr(2)), "dynamic", fields);
  }
}

GroupQuantization ReadGptq(const json& object, JsonFields fields) {
  RequireExactly("bits", 4, "the kernels' int4", fields);
  RequireExactly("group_size", kGroupSize, "the kernels' groups", fields);
  for (const char* key : {"checkpoint_format", "format"}) fields.RequireString(key, {"gptq", "gptq_v2"});
  const std::string format = fields.StringOr("checkpoint_format", fields.StringOr("format", "gptq"));
  if (fields.StringOr("format", format) != format) {
    fields.Fault("checkpoint_format and format differ: keep one");
  }
  fields.RequireBool("is_marlin_format", false);
  fields.RequireBool("lm_head", false);  // a quantised head
  fields.RequireString("pack_dtype", {"int32"});
  fields.RequireAbsent("adapter", "merge it into the weights");
  fields.RequireAbsent("rotation", "quantise without one");
  fields.BoolOr("sym", true);  // zero points are stored with either value
  GroupQuantization gptq = {
      .layout = GroupLayout::kGptq,
      .act_order = fields.BoolOr("desc_act", true),  // if absent, the file's g_idx decides
      .zero_minus_one = format == "gptq",
      .symmetric = false};
  ReadDynamic(object, gptq.skipped, fields);
  for (std::string& module : ReadStrings(object, "modules_to_not_convert", fields)) {
    FaultUnless(gptq.skipped.AddPart(std::move(module)), "modules_to_not_convert", fields);
  }
  for (std::string& module : ReadStrings(object, "modules_in_block_to_quantize", fields)) {
    if (!gptq.only) gptq.only.emplace();
    FaultUnless(gptq.only->AddLast(std::move(module)), "modules_in_block_to_quantize", fields);
  }
  return gptq;
}

// With "group" and "dynamic" the file has a g_idx. "weight" and "static" reorder columns only during
// quantisation.
bool ReadActOrder(const json& weights, JsonFields fields) {
  const auto actorder = weights.find("actorder");
  if (actorder != weights.end() && actorder->is_boolean()) return actorder->get<bool>();
  fields.RequireString("actorder", {"group", "dynamic", "weight", "static"});
  const std::string order = fields.ok() ? fields.StringOr("actorder", "") : "";
  return order == "group" || order == "dynamic";
}

void ReadWeights(const json& weights, JsonFields fields, GroupQuantization* quantization) {
  const bool grouped = quantization->layout == GroupLayout::kPackQuantized;
  fields.RequireString("type", {"int"});
  fields.RequireBool("dynamic", false);
  fields.RequireAbsent("block_structure", "scales are served for groups of 128 columns or for whole rows");
  quantization->symmetric = fields.BoolOr("symmetric", true);
  if (grouped) {
    RequireExactly("num_bits", 4, "pack-quantized is served with 4 bits", fields);
    RequireExactly("group_size", kGroupSize, "the kernels' groups", fields);
    fields.RequireString("strategy", {"group"});
    quantization->act_order = ReadActOrder(weights, fields);
  } else {
    RequireExactly("num_bits", 8, "int-quantized is served with 8 bits", fields);
    fields.RequireString("strategy", {"channel"});
    if (!fields.Has("strategy")) fields.Fault("strategy is missing: channel is required");
    fields.RequireBool("symmetric", true);
  }
}

GroupQuantization ReadCompressedTensors(const json& object, bool tied_head, JsonFields fields) {
  GroupQuantization quantization;
  if (!fields.Has("format")) fields.Fault("format is missing: pack-quantized or int-quantized is required");
  fields.RequireString("format", {"pack-quantized", "int-quantized"});
  fields.RequireString("quantization_status", {"compressed"});
  fields.RequireAbsent("kv_cache_scheme",
                       "the KV cache's type is chosen at start (--kv-cache-dtype); leave the key out");
  for (const char* key : {"sparsity_config", "transform_config"}) {
    const auto found = object.find(key);
    const bool none = found == object.end() || found->empty() ||  // null is empty
                      (found->is_object() && found->value("format", json()) == "dense");
    if (!none) fields.Fault(absl::StrCat(key, " is not served yet: it must be absent or empty"));
  }
  const auto groups = object.find("config_groups");
  if (groups == object.end() || !groups->is_object() || groups->size() != 1 ||
      groups->begin().key().size() > kMaxGroupName || !groups->begin()->is_object()) {
    fields.Fault(
        "config_groups must be an object with one group, itself an object: all quantised weights must have "
        "the same settings");
  }
  if (!fields.ok()) return quantization;

  const std::string format = fields.StringOr("format", "");
  quantization.layout = format == "pack-quantized" ? GroupLayout::kPackQuantized : GroupLayout::kIntQuantized;
  JsonFields group = fields.Object("config_groups").Object(groups->begin().key().c_str());
  group.RequireString("format", {format.c_str()});
  group.RequireAbsent("output_activations", "outputs are not quantised here");
  if (ReadStrings(*groups->begin(), "targets", group) != std::vector<std::string>{"Linear"}) {
    group.Fault("targets must be [\"Linear\"]; `ignore` names what stays unquantised");
  }
  // Other engines quantise activations for each token. Here activations stay in the compute type, or the
  // kernels round them to int8 on their own.
  if (group.Has("input_activations")) {
    JsonFields activations = group.Object("input_activations");
    if (!activations.Has("dynamic")) activations.Fault("dynamic is missing: true is required");
    activations.RequireBool("dynamic", true);
  }
  if (!group.Has("weights")) group.Fault("weights is missing: an object is required");
  JsonFields weights = group.Object("weights");
  if (!fields.ok()) return quantization;
  ReadWeights(groups->begin()->at("weights"), weights, &quantization);

  for (std::string& module : ReadStrings(object, "ignore", fields)) {
    if (absl::StartsWith(module, kExpressionPrefix)) {
      FaultUnless(quantization.skipped.AddExpression(module.substr(sizeof(kExpressionPrefix) - 1)), "ignore",
                  fields);
    } else {
      quantization.skipped.AddName(std::move(module));
    }
  }
  if (!tied_head && !quantization.skipped.Match("lm_head")) {
    fields.Fault("ignore must hold lm_head: a quantised head is not served yet");
  }
  return quantization;
}

}  // namespace

void ReadQuantization(const json& object, JsonFields parent, ModelConfig* config) {
  if (!parent.Has("quantization_config")) return;
  JsonFields fields = parent.Object("quantization_config");
  if (!fields.ok()) return;
  const json& quantization = object.at("quantization_config");
  if (!fields.Has("quant_method")) {
    fields.Fault("quant_method is missing: fp8, awq, gptq or compressed-tensors is required");
  }
  fields.RequireString("quant_method", {"fp8", "awq", "gptq", "compressed-tensors"});
  if (!fields.ok()) return;
  const std::string method = fields.StringOr("quant_method", "");
  if (method == "fp8") {
    config->quantization_config = ReadFp8(quantization, fields);
  } else if (method == "awq") {
    config->group_quantization = ReadAwq(quantization, fields);
  } else if (method == "gptq") {
    config->group_quantization = ReadGptq(quantization, fields);
  } else {
    config->group_quantization = ReadCompressedTensors(quantization, config->tie_word_embeddings, fields);
  }
}

}  // namespace deeprack::model
