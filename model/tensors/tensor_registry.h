// Every tensor of a checkpoint: its name, shape, kind and how ranks share it. One table per architecture.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/config/model_config.h"

namespace deeprack::model {

// How a tensor is divided among ranks.
enum class ShardRole : uint8_t {
  kReplicated,         // whole on every rank of the stage
  kVocabRows,          // rows (vocabulary) split over tp
  kHeadRows,           // rows grouped by attention head, split over tp
  kHeadCols,           // columns grouped by attention head, split over tp
  kKeyValueHeadRows,   // rows grouped by key-value head, split over tp; a head on several ranks if tp is more
  kIntermediateRows,   // rows (intermediate size) split over tp
  kIntermediateCols,   // columns (intermediate size) split over tp
  kExpertRows,         // of one expert: on its expert group only, rows split over expert_tp
  kExpertCols,         // of one expert: on its expert group only, columns split over expert_tp
};

// What the decoder knows a tensor as.
enum class TensorKind : uint8_t {
  kEmbedTokens, kFinalNorm, kLmHead,
  kInputNorm, kPostAttentionNorm,
  kQProj, kQAProj, kQANorm, kQBProj, kKvAProj, kKvANorm, kKvBProj, kOProj,
  kKBProj, kVBProj,                                 // kKvBProj in two (ModelConfig::split_kv_b)
  kKProj, kVProj, kQBias, kKBias, kVBias,           // grouped-query attention, besides kQProj and kOProj
  kGateProj, kUpProj, kDownProj,                    // dense feed-forward
  kRouter, kRouterBias,
  kExpertGate, kExpertUp, kExpertDown,
  kSharedGate, kSharedUp, kSharedDown,
  kMtpEmbedNorm, kMtpHiddenNorm, kMtpProj, kMtpHeadNorm, kMtpEmbedTokens, kMtpHead,
};

struct TensorSpec {
  std::string name;             // as in the checkpoint
  TensorKind kind;
  std::vector<int64_t> shape;   // [rows, cols] or [n]; rows are output features
  ShardRole role;
  int64_t layer = -1;           // -1: outside the layers; num_hidden_layers and up: MTP
  int64_t expert = -1;
  bool quantized = false;       // fp8 with a `weight_scale_inv` beside it when the config says so
  // The scale's name; only meaningful if `quantized` and the config is block-quantised.
  std::string scale_name() const { return name + "_scale_inv"; }
};

// Every tensor of a checkpoint, MTP layers included.
std::vector<TensorSpec> TensorsOf(const ModelConfig& config);

// Those of one decoder layer (or MTP layer), those outside the layers.
std::vector<TensorSpec> LayerTensors(const ModelConfig& config, int64_t layer);
std::vector<TensorSpec> TopTensors(const ModelConfig& config);

}  // namespace deeprack::model
