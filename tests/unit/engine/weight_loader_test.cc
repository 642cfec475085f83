// The packed weights against the checkpoint, element by element, for slices that cut through fp8 blocks.
#include "worker/weights/weight_loader.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "checkpoint/tensor_view.h"
#include "model/tensors/tensor_registry.h"
#include "sizing/weight_manifest.h"
#include "tests/unit/engine/tiny_checkpoint.h"
#include "tests/unit/sizing/rank_tensors.h"
#include "worker/device/cpu_device.h"
#include "worker/weights/packing.h"

namespace deeprack::worker {
namespace {

using kernels::PackedWeight;
using testing::TinyModel;

float StoredValue(DType type, const void* data, int64_t index) {
  switch (type) {
    case DType::kF32:
      return static_cast<const float*>(data)[index];
    case DType::kBF16:
      return ToFloat(static_cast<const bf16*>(data)[index]);
    default:
      return ToFloat(static_cast<const fp8_e4m3*>(data)[index]);
  }
}

// Element (row, col) of a packed weight, scale included.
float PackedValue(const PackedWeight& w, int64_t row, int64_t col) {
  const float value = StoredValue(w.type, w.data, (row / 16 * w.k + col) * 16 + row % 16);
  if (w.type != DType::kF8E4M3) return value;
  const int64_t block = (w.k_block_offset + col) / 128;
  return value * w.scales[(row / 16 * w.scale_blocks() + block) * 16 + row % 16];
}

class WeightLoaderTest : public ::testing::Test {
 protected:
  void Open(const TinyModel& model) {
    config_ = model.Config();
    auto reader = checkpoint::CheckpointReader::Open(testing::WriteTinyCheckpoint(model));
    ASSERT_TRUE(reader.ok()) << reader.status();
    reader_.emplace(*std::move(reader));
  }

  absl::StatusOr<LoadedWeights> LoadOn(Device& device, const model::Layout& layout, Rank rank, DType compute,
                                       const LoadProgress& progress) {
    const sizing::RankSpec spec = {.config = config_, .layout = layout, .rank = rank, .compute = compute};
    const auto manifest = sizing::ManifestOf(spec, *reader_, device.kernels());
    if (!manifest.ok()) return manifest.status();
    return LoadWeights({.spec = spec, .manifest = *manifest, .reader = *reader_}, device, progress);
  }

  LoadedWeights Load(const model::Layout& layout, Rank rank, DType compute = DType::kF32) {
    const auto cpu = MakeCpuDevice(2);
    auto loaded = LoadOn(*cpu, layout, rank, compute, {});
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    return *std::move(loaded);
  }

  // Element (row, col) of a whole tensor in the file, dequantised.
  float FileValue(const std::string& name, int64_t row, int64_t col) {
    const checkpoint::TensorView view = *reader_->Get(name);
    const int64_t cols = view.shape.size() > 1 ? view.shape[1] : 1;
    const float value = StoredValue(view.dtype, checkpoint::AlignedBytes(view).data(), row * cols + col);
    if (view.dtype != DType::kF8E4M3) return value;
    const checkpoint::TensorView scale = *reader_->Get(name + "_scale_inv");
    const checkpoint::AlignedBytes scales(scale);
    return value * static_cast<const float*>(scales.data())[row / 128 * scale.shape[1] + col / 128];
  }

  // Rows [first_row, first_row + slice rows) of `w` are that slice of the tensor.
  void ExpectSlice(const PackedWeight& w, int64_t first_row, const std::string& name, int64_t row_begin,
                   int64_t rows, int64_t col_begin) {
    SCOPED_TRACE(name);
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t col = 0; col < w.k; ++col) {
        ASSERT_EQ(PackedValue(w, first_row + row, col), FileValue(name, row_begin + row, col_begin + col))
            << row << ", " << col;
      }
    }
  }

  model::ModelConfig config_;
  std::optional<checkpoint::CheckpointReader> reader_;
};

TEST_F(WeightLoaderTest, SlicesOfEveryKind) {
  Open({});
  const model::Layout layout = {.tp = 4, .dp = 1, .ep = 2, .pp = 2};
  const Rank rank = 7;  // last stage, tp rank 3, second expert group, its second rank
  const LoadedWeights loaded = Load(layout, rank);
  EXPECT_EQ(loaded.arena.used(), sizing::WeightBytes(config_, layout, rank, DType::kF32));
  const StageWeights& weights = loaded.weights;
  ASSERT_EQ(weights.layers.size(), 2u);  // layers 2 and 3
  EXPECT_EQ(weights.embedding, nullptr);

  // 131 rows in fours: 33, 33, 33, 32.
  ASSERT_EQ(weights.lm_head->n, 32);
  ExpectSlice(*weights.lm_head, 0, "lm_head.weight", 99, 32, 0);
  for (int64_t i = 0; i < 136; ++i) ASSERT_EQ(weights.final_norm[i], FileValue("model.norm.weight", i, 0));

  const std::string prefix = "model.layers.3.";
  const LayerWeights& layer = weights.layers[1];
  ExpectSlice(*layer.attention.q_a, 0, prefix + "self_attn.q_a_proj.weight", 0, 72, 0);
  ExpectSlice(layer.attention.q, 0, prefix + "self_attn.q_b_proj.weight", 120, 40, 0);  // the fourth head
  ExpectSlice(layer.attention.kv_a, 0, prefix + "self_attn.kv_a_proj_with_mqa.weight", 0, 56, 0);
  ExpectSlice(layer.attention.o, 0, prefix + "self_attn.o_proj.weight", 0, 136, 60);
  ASSERT_EQ(layer.attention.absorbed_value.size(), 1u);
  ExpectSlice(layer.attention.absorbed_value[0], 0, prefix + "self_attn.kv_b_proj.weight", 3 * 44 + 24, 20,
              0);
  const PackedWeight& key = layer.attention.absorbed_key[0];
  ASSERT_EQ(key.n, 40);
  ASSERT_EQ(key.k, 24);
  for (int64_t latent = 0; latent < 40; ++latent) {
    for (int64_t nope = 0; nope < 24; ++nope) {
      ASSERT_EQ(PackedValue(key, latent, nope),
                FileValue(prefix + "self_attn.kv_b_proj.weight", 3 * 44 + nope, latent));
    }
  }

  const MoeWeights& moe = *layer.moe;
  EXPECT_EQ(moe.router.type, DType::kF32);
  ExpectSlice(moe.router, 0, prefix + "mlp.gate.weight", 0, 8, 0);
  EXPECT_EQ(moe.expert_begin, 4);
  ASSERT_EQ(moe.gate_up.size(), 4u);
  EXPECT_EQ(moe.intermediate, 18);
  ExpectSlice(moe.gate_up[2], 0, prefix + "mlp.experts.6.gate_proj.weight", 18, 18, 0);
  ExpectSlice(moe.gate_up[2], 32, prefix + "mlp.experts.6.up_proj.weight", 18, 18, 0);
  ExpectSlice(moe.down[2], 0, prefix + "mlp.experts.6.down_proj.weight", 0, 136, 18);
  EXPECT_EQ(moe.shared->intermediate, 9);
  ExpectSlice(moe.shared->gate_up, 16, prefix + "mlp.shared_experts.up_proj.weight", 27, 9, 0);
  ExpectSlice(moe.shared->down, 0, prefix + "mlp.shared_experts.down_proj.weight", 0, 136, 27);
}

TEST_F(WeightLoaderTest, SlicesCutThroughBlocksInBothDirections) {
  Open({});
  const LoadedWeights loaded = Load({.tp = 4, .dp = 1, .ep = 1, .pp = 1}, 2, DType::kBF16);
  const LayerWeights& dense = loaded.weights.layers[0];
  EXPECT_EQ(dense.dense->down.type, DType::kF8E4M3);
  EXPECT_EQ(dense.dense->down.k_block_offset, 100);  // columns 100 to 150 of 200
  ExpectSlice(dense.dense->down, 0, "model.layers.0.mlp.down_proj.weight", 0, 136, 100);
  ExpectSlice(dense.dense->gate_up, 0, "model.layers.0.mlp.gate_proj.weight", 100, 50, 0);  // rows 100 to 150
  ExpectSlice(dense.dense->gate_up, 64, "model.layers.0.mlp.up_proj.weight", 100, 50, 0);
  ASSERT_EQ(loaded.weights.vocab_begin, 66);
  const bf16* table = static_cast<const bf16*>(loaded.weights.embedding);
  for (int64_t row = 0; row < loaded.weights.vocab_rows; ++row) {
    for (int64_t col = 0; col < 136; ++col) {
      ASSERT_EQ(ToFloat(table[row * 136 + col]), FileValue("model.embed_tokens.weight", 66 + row, col));
    }
  }
}

TEST_F(WeightLoaderTest, FloatCheckpointBecomesTheComputeType) {
  Open({.fp8 = false, .plain_type = DType::kF32});
  const LoadedWeights loaded = Load({}, 0, DType::kBF16);
  const PackedWeight& q_a = *loaded.weights.layers[1].attention.q_a;
  ASSERT_EQ(q_a.type, DType::kBF16);
  for (int64_t i = 0; i < 72; ++i) {
    ASSERT_EQ(PackedValue(q_a, i, i),
              ToFloat(ToBF16(FileValue("model.layers.1.self_attn.q_a_proj.weight", i, i))));
  }
}

// Halves become pairs: rope rows i and i + r/2 of the file are rows 2i and 2i + 1 in memory.
TEST_F(WeightLoaderTest, RopeHalvesAreInterleaved) {
  Open({});
  config_.rope_interleave = false;
  const LoadedWeights loaded = Load({.tp = 2, .dp = 1, .ep = 1, .pp = 1}, 1);
  const AttentionWeights& attention = loaded.weights.layers[1].attention;
  const auto file_row = [](int64_t i) { return i / 2 + i % 2 * 8; };
  for (int64_t i = 0; i < 16; ++i) {
    for (int64_t col = 0; col < 136; ++col) {
      ASSERT_EQ(PackedValue(attention.kv_a, 40 + i, col),
                FileValue("model.layers.1.self_attn.kv_a_proj_with_mqa.weight", 40 + file_row(i), col));
    }
    for (int64_t head = 0; head < 2; ++head) {
      for (int64_t col = 0; col < 72; ++col) {
        ASSERT_EQ(
            PackedValue(attention.q, head * 40 + 24 + i, col),
            FileValue("model.layers.1.self_attn.q_b_proj.weight", 80 + head * 40 + 24 + file_row(i), col));
      }
    }
  }
  ExpectSlice(attention.kv_a, 0, "model.layers.1.self_attn.kv_a_proj_with_mqa.weight", 0, 40, 0);
}

// Pieces that were packed apart, each to memory of its own, and copied to their places make what whole
// tensors make in place.
TEST_F(WeightLoaderTest, PiecesOfAnySizeFillTheSameBytes) {
  for (const bool fp8 : {true, false}) {
    Open({.fp8 = fp8});
    const model::Layout layout = {.tp = 2, .ep = 2};
    for (const sizing::PackedTensor& tensor : sizing::PackedTensorsOf(config_, layout, 1, DType::kBF16)) {
      const auto pack = [&](int64_t piece_elements) {
        std::vector<std::byte> memory(static_cast<size_t>(tensor.bytes()));
        std::vector<PackingPiece> pieces;
        AppendPieces(config_, tensor, memory.data(), pieces, piece_elements);
        for (const PackingPiece& piece : pieces) {
          const PieceExtent extent = ExtentOf(piece);
          std::vector<std::byte> values(static_cast<size_t>(extent.value_bytes), std::byte{0xff});
          std::vector<std::byte> scales(static_cast<size_t>(extent.scale_bytes), std::byte{0xff});
          const absl::Status packed = PackPiece(config_, *reader_, piece, values.data(), scales.data());
          EXPECT_TRUE(packed.ok()) << packed;
          std::copy(values.begin(), values.end(), memory.begin() + extent.value_begin);
          std::copy(scales.begin(), scales.end(), memory.begin() + extent.scale_begin);
        }
        return memory;
      };
      EXPECT_EQ(pack(1), pack(1 << 20)) << tensor.parts[0].tensor.name;
    }
  }
}

TEST_F(WeightLoaderTest, ProgressRisesToTheTotal) {
  Open({});
  const auto cpu = MakeCpuDevice(1);
  int64_t last = 0;
  int64_t all = 0;
  int reports = 0;
  const auto loaded = LoadOn(*cpu, {}, 0, DType::kBF16, [&](int64_t done, int64_t total) {
    EXPECT_GT(done, last);
    last = done;
    all = total;
    ++reports;
  });
  ASSERT_TRUE(loaded.ok());
  EXPECT_GT(reports, 3);
  EXPECT_GT(all, 0);
  EXPECT_EQ(last, all);
}

}  // namespace
}  // namespace deeprack::worker
