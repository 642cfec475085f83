// Every tensor of a checkpoint: its name, shape, kind and how ranks share it. One table per architecture.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/config/model_config.h"

namespace deeprack::model {

// How a tensor is divided among ranks of a stage.
enum class ShardRole : uint8_t {
  kReplicated,        // whole on every rank of the stage
  kVocabRows,         // rows (vocabulary) split over tp
  kHeadRows,          // rows grouped by attention head, split over tp
  kHeadCols,          // columns grouped by attention head, split over tp
  kKeyValueHeadRows,  // rows grouped by key-value head, split over tp; with more ranks than heads, ranks
                      // share a head
  kIntermediateRows,  // rows (intermediate size) split over tp
  kIntermediateCols,  // columns (intermediate size) split over tp
  kExpertRows,        // of one expert: on the ranks of its expert group only, rows split over expert_tp
  kExpertCols,        // of one expert: on the ranks of its expert group only, columns split over expert_tp
};

// The tensor's part in the decoder.
// clang-format off
enum class TensorKind : uint8_t {
  kEmbedTokens, kFinalNorm, kLmHead,
  kInputNorm, kPostAttentionNorm,
  kQProj, kQAProj, kQANorm, kQBProj, kKvAProj, kKvANorm, kKvBProj, kOProj,
  kKBProj, kVBProj,                                 // instead of kKvBProj with ModelConfig::split_kv_b
  kKProj, kVProj, kQBias, kKBias, kVBias,           // grouped-query attention; it also has kQProj and kOProj
  kGateProj, kUpProj, kDownProj,                    // dense feed-forward
  kRouter, kRouterBias,
  kExpertGate, kExpertUp, kExpertDown,
  kSharedGate, kSharedUp, kSharedDown,
  kMtpEmbedNorm, kMtpHiddenNorm, kMtpProj, kMtpHeadNorm, kMtpEmbedTokens, kMtpHead,
};
// clang-format on

struct TensorSpec {
  std::string name;  // as in the checkpoint
  TensorKind kind;
  std::vector<int64_t> shape;  // [rows, cols] or [n]; a row is an output feature
  ShardRole role;
  int64_t layer = -1;  // -1: outside the layers; num_hidden_layers and above: an MTP layer
  int64_t expert = -1;
  bool quantized = false;  // in an fp8 checkpoint: stored as fp8 with a `weight_scale_inv`
  // The name of the scales. Valid only if `quantized` is true and the config has fp8 blocks.
  std::string scale_name() const { return name + "_scale_inv"; }
};

// All tensors of a checkpoint, with those of MTP layers.
std::vector<TensorSpec> TensorsOf(const ModelConfig& config);

// LayerTensors: the tensors of one decoder layer or MTP layer. TopTensors: the tensors outside the layers.
std::vector<TensorSpec> LayerTensors(const ModelConfig& config, int64_t layer);
std::vector<TensorSpec> TopTensors(const ModelConfig& config);

}  // namespace deeprack::model
