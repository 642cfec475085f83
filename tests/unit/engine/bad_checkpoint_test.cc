// The errors for a damaged checkpoint and for a checkpoint that does not fit the config.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/unit/engine/rack.h"
#include "tests/unit/engine/tiny_checkpoint.h"
#include "worker/collectives/local/local_world.h"

namespace deeprack::worker::testing {
namespace {

absl::Status CreationError(const std::string& folder, const model::Layout& layout = {}) {
  return Rack::Create(TinyOptions(folder, DType::kBF16, layout)).status();
}

// Overwrites element `index` of the tensor with `bits`.
template <class Bits>
Damage Poison(std::string name, int64_t index, Bits bits) {
  return [=](TinyTensor& tensor) {
    if (tensor.name == name) std::memcpy(tensor.bytes.data() + index * sizeof(Bits), &bits, sizeof(Bits));
  };
}

void ExpectNamed(const absl::Status& status, absl::StatusCode code, const std::string& name) {
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_NE(status.message().find(name), std::string::npos) << status;
}

TEST(BadCheckpointTest, NotANumberIsRefusedByName) {
  const struct {
    const char* tensor;
    Damage damage;
  } cases[] = {
      {"model.layers.2.mlp.experts.5.down_proj.weight",
       Poison("model.layers.2.mlp.experts.5.down_proj.weight", 136 * 36 - 1, uint8_t{0x7f})},
      {"model.layers.0.self_attn.kv_b_proj.weight",
       Poison("model.layers.0.self_attn.kv_b_proj.weight", 0, uint8_t{0xff})},
      {"model.layers.1.self_attn.q_b_proj.weight_scale_inv",
       Poison("model.layers.1.self_attn.q_b_proj.weight_scale_inv", 1, uint32_t{0x7f800000})},
      {"model.layers.3.input_layernorm.weight",
       Poison("model.layers.3.input_layernorm.weight", 7, uint16_t{0x7fc0})},
      {"model.layers.1.mlp.gate.e_score_correction_bias",
       Poison("model.layers.1.mlp.gate.e_score_correction_bias", 3, uint32_t{0xffc00000})},
      {"model.embed_tokens.weight", Poison("model.embed_tokens.weight", 130 * 136, uint16_t{0xffff})},
      {"lm_head.weight", Poison("lm_head.weight", 1, uint16_t{0x7f81})}};
  for (const auto& c : cases) {
    ExpectNamed(CreationError(WriteTinyCheckpoint({}, c.damage)), absl::StatusCode::kDataLoss, c.tensor);
  }
}

// A rank reads only its own slices: damage in another rank's slices is no error.
TEST(BadCheckpointTest, OnlyTheRankThatHoldsTheDamageRefuses) {
  const std::string tensor = "model.layers.0.mlp.up_proj.weight";
  const std::string folder =
      WriteTinyCheckpoint({}, Poison(tensor, 136 * 199, uint8_t{0x7f}));  // the last row
  auto world = MakeLocalWorld(2, absl::Seconds(60));
  absl::Status status[2];
  const auto create = [&](int rank) {
    EngineOptions options = TinyOptions(folder, DType::kBF16, {.tp = 2});
    options.rank = rank;
    status[rank] = Engine::Create(options, world[static_cast<size_t>(rank)].get(), {}).status();
  };
  std::thread peer(create, 1);
  create(0);
  peer.join();
  EXPECT_TRUE(status[0].ok()) << status[0];
  ExpectNamed(status[1], absl::StatusCode::kDataLoss, tensor);
}

TEST(BadCheckpointTest, OthersAreToldWhichRankCannotLoad) {
  const std::string folder = WriteTinyCheckpoint({});
  auto world = MakeLocalWorld(2, absl::Seconds(60));
  absl::Status status[2];
  const auto create = [&](int rank) {
    EngineOptions options = TinyOptions(rank == 1 ? folder + "/elsewhere" : folder, DType::kBF16, {.tp = 2});
    options.rank = rank;
    status[rank] = Engine::Create(options, world[static_cast<size_t>(rank)].get(), {}).status();
  };
  std::thread peer(create, 1);
  create(0);
  peer.join();
  ExpectNamed(status[0], absl::StatusCode::kFailedPrecondition, "rank 1");
  ExpectNamed(status[1], absl::StatusCode::kNotFound, "elsewhere: no such folder");
}

// Three ranks of which the last has another config.json, with the same meaning.
TEST(BadCheckpointTest, RanksWithOtherFilesAreNamedBeforeAnyRankReads) {
  const std::string folder = WriteTinyCheckpoint({}), other = WriteTinyCheckpoint({});
  std::ofstream(other + "/config.json", std::ios::app) << "\n";
  auto world = MakeLocalWorld(3, absl::Seconds(60));
  absl::Status status[3];
  int reports = 0;
  const auto create = [&](int rank) {
    EngineOptions options = TinyOptions(rank == 2 ? other : folder, DType::kBF16, {.dp = 3});
    options.rank = rank;
    const auto progress = [&](int64_t, int64_t) { ++reports; };
    status[rank] = Engine::Create(options, world[static_cast<size_t>(rank)].get(), progress).status();
  };
  std::thread first(create, 1), second(create, 2);
  create(0);
  first.join();
  second.join();
  for (const absl::Status& each : status) {
    ExpectNamed(each, absl::StatusCode::kFailedPrecondition, "rank 2 on ");
    ExpectNamed(each, absl::StatusCode::kFailedPrecondition, " has other files of the model than rank 0 on ");
    ExpectNamed(each, absl::StatusCode::kFailedPrecondition, "2 of 3 ranks");
  }
  EXPECT_EQ(reports, 0);
}

TEST(BadCheckpointTest, WhatDoesNotFitIsSaidWithRanksAndBytes) {
  const std::string folder = WriteTinyCheckpoint({});
  EngineOptions options = TinyOptions(folder, DType::kBF16, {.tp = 2});
  options.kv_bytes = int64_t{1} << 50;
  options.max_sequences = 1 << 30;
  const absl::Status status = Rack::Create(options).status();
  ExpectNamed(status, absl::StatusCode::kResourceExhausted, "the 2 ranks of one machine or card need ");
  ExpectNamed(status, absl::StatusCode::kResourceExhausted, " are available there (rank 0 on ");
  ExpectNamed(status, absl::StatusCode::kResourceExhausted, "; rank 1 on ");
  ExpectNamed(status, absl::StatusCode::kResourceExhausted, " bytes for weights, ");
}

TEST(BadCheckpointTest, MissingTensorIsNamed) {
  const std::string name = "model.layers.1.self_attn.o_proj.weight";
  const Damage rename = [&](TinyTensor& tensor) {
    if (tensor.name == name) tensor.name = "o_proj_of_nobody";
  };
  ExpectNamed(CreationError(WriteTinyCheckpoint({}, rename)), absl::StatusCode::kNotFound, name);
}

TEST(BadCheckpointTest, WrongShapeIsNamed) {
  const std::string name = "model.layers.0.self_attn.q_a_proj.weight";
  const Damage turn = [&](TinyTensor& tensor) {
    if (tensor.name == name) std::swap(tensor.shape[0], tensor.shape[1]);
  };
  ExpectNamed(CreationError(WriteTinyCheckpoint({}, turn)), absl::StatusCode::kInvalidArgument, name);
}

TEST(BadCheckpointTest, LayoutThatDoesNotFitSaysWhatWould) {
  ExpectNamed(CreationError(WriteTinyCheckpoint({}), {.tp = 3}), absl::StatusCode::kInvalidArgument,
              "tp may be 1, 2 or 4");
}

TEST(BadCheckpointTest, OptionsAreChecked) {
  const std::string folder = WriteTinyCheckpoint({});
  const auto error = [&](auto change) {
    EngineOptions options = TinyOptions(folder);
    change(options);
    return Engine::Create(options, nullptr, {}).status();
  };
  EXPECT_TRUE(error([](EngineOptions&) {}).ok());
  ExpectNamed(error([](EngineOptions& o) { o.max_context = 513; }), absl::StatusCode::kInvalidArgument,
              "512");
  ExpectNamed(error([](EngineOptions& o) { o.max_step_tokens = 0; }), absl::StatusCode::kInvalidArgument,
              "max_step_tokens");
  ExpectNamed(error([](EngineOptions& o) { o.compute = DType::kF16; }), absl::StatusCode::kInvalidArgument,
              "F16");
  ExpectNamed(error([](EngineOptions& o) { o.rank = 1; }), absl::StatusCode::kInvalidArgument, "rank 1");
  ExpectNamed(error([](EngineOptions& o) { o.layout.tp = 2; }), absl::StatusCode::kInvalidArgument,
              "2 ranks");
  ExpectNamed(error([](EngineOptions& o) { o.kv_bytes = 100; }), absl::StatusCode::kResourceExhausted,
              "100 bytes");
  const auto endless = [](EngineOptions& o) {
    o.kv_bytes = int64_t{1} << 50;
    o.max_sequences = 1 << 30;
  };
  ExpectNamed(error(endless), absl::StatusCode::kResourceExhausted,
              "the 1 rank of one machine or card needs");
}

}  // namespace
}  // namespace deeprack::worker::testing
