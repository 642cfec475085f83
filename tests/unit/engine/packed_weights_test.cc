// Weights from packed files have the same bytes. Every fault of a file is found, and the message names it.
#include "worker/weights/packed_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>

#include "sizing/weight_manifest.h"
#include "tests/unit/engine/rack.h"
#include "tests/unit/engine/tiny_checkpoint.h"
#include "worker/device/cpu_device.h"
#include "worker/weights/packed_file.h"
#include "worker/weights/packed_header.h"

namespace deeprack::worker {
namespace {

using ::testing::HasSubstr;
using testing::TinyModel;

const model::Layout kTwoRanks = {.tp = 2, .dp = 1, .ep = 2, .pp = 1};

std::vector<std::byte> BytesOf(const LoadedWeights& loaded) {
  return {loaded.arena.data(), loaded.arena.data() + loaded.arena.capacity()};
}

// One of two ranks, by the config alone: what the tiny models' files are too.
struct RankOfTwo {
  RankOfTwo(const model::ModelConfig& config, Rank rank, DType compute)
      : spec{.config = config, .layout = kTwoRanks, .rank = rank, .compute = compute},
        manifest(sizing::ManifestOf(spec, {})) {}

  RankWeights Of(const checkpoint::CheckpointReader& reader) const {
    return {.spec = spec, .manifest = manifest, .reader = reader};
  }

  sizing::RankSpec spec;
  sizing::WeightManifest manifest;
};

class PackedWeightsTest : public ::testing::Test {
 protected:
  void Open(const TinyModel& model) {
    config_ = model.Config();
    model_ = testing::WriteTinyCheckpoint(model);
    auto reader = checkpoint::CheckpointReader::Open(model_);
    ASSERT_TRUE(reader.ok()) << reader.status();
    reader_.emplace(*std::move(reader));
    packed_ = {.folder = model_ + "/packed"};
  }

  absl::StatusOr<LoadedWeights> Load(Rank rank = 1, DType compute = DType::kBF16) {
    reports_ = 0;
    const RankOfTwo source(config_, rank, compute);
    return LoadPackedWeights(source.Of(*reader_), packed_, *cpu_, [this](int64_t, int64_t) { ++reports_; });
  }
  // A mapped file gives one progress report, and one more when all its data is checked. Packing the tiny
  // model gives many more.
  bool WasMapped() const { return reports_ == (packed_.full_check ? 2 : 1); }

  std::string Path(Rank rank = 1, DType compute = DType::kBF16) const {
    return packed_.folder + "/" + PackedFileName(model_, RankOfTwo(config_, rank, compute).spec);
  }

  // The message about rank 1's file.
  absl::Status OpenFile() {
    const RankOfTwo source(config_, 1, DType::kBF16);
    const auto identity = IdentityOf(source.Of(*reader_));
    EXPECT_TRUE(identity.ok()) << identity.status();
    return PackedFile::Open(Path(), *identity, source.manifest.bytes).status();
  }

  // The file is refused for that reason, the next start packs it again, and the start after that uses it.
  void ExpectRepacked(absl::StatusCode code, const std::string& words) {
    const absl::Status status = OpenFile();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(words));
    EXPECT_THAT(std::string(status.message()), HasSubstr(Path()));
    const auto plain = LoadWeights(RankOfTwo(config_, 1, DType::kBF16).Of(*reader_), *cpu_, {});
    ASSERT_TRUE(plain.ok());
    for (const bool mapped : {false, true}) {
      const auto loaded = Load();
      ASSERT_TRUE(loaded.ok()) << loaded.status();
      EXPECT_EQ(WasMapped(), mapped);
      EXPECT_EQ(BytesOf(*loaded), BytesOf(*plain));
    }
  }

  void Flip(int64_t offset) {
    std::fstream file(Path(), std::ios::binary | std::ios::in | std::ios::out);
    file.seekg(offset);
    const char byte = static_cast<char>(file.get());
    file.seekp(offset);
    file.put(static_cast<char>(byte ^ 1));
    ASSERT_TRUE(file.good());
  }

  // Other values in an undamaged header.
  void ChangeHeader(const std::function<void(PackedHeader&)>& change) {
    std::fstream file(Path(), std::ios::binary | std::ios::in | std::ios::out);
    PackedHeader header;
    file.read(reinterpret_cast<char*>(&header), sizeof(header));
    change(header);
    header.header = DigestOf(std::as_bytes(std::span(&header, 1)).first(offsetof(PackedHeader, header)));
    file.seekp(0);
    file.write(reinterpret_cast<const char*>(&header), sizeof(header));
    ASSERT_TRUE(file.good());
  }

  model::ModelConfig config_;
  std::string model_;
  std::optional<checkpoint::CheckpointReader> reader_;
  PackedOptions packed_;
  std::unique_ptr<Device> cpu_ = MakeCpuDevice(2);
  int reports_ = 0;
};

TEST_F(PackedWeightsTest, TheSameBytesForEveryTypeAndRank) {
  for (const TinyModel& model : {TinyModel{}, TinyModel{.fp8 = false, .plain_type = DType::kF32},
                                 TinyModel{.fp8 = false}, TinyModel{.grouped_query = true}}) {
    Open(model);
    for (const DType compute : {DType::kBF16, DType::kF32}) {
      for (const Rank rank : {0, 1}) {
        const auto plain = LoadWeights(RankOfTwo(config_, rank, compute).Of(*reader_), *cpu_, {});
        ASSERT_TRUE(plain.ok()) << plain.status();
        for (const bool mapped : {false, true}) {
          const auto loaded = Load(rank, compute);
          ASSERT_TRUE(loaded.ok()) << loaded.status();
          EXPECT_EQ(WasMapped(), mapped);
          EXPECT_EQ(BytesOf(*loaded), BytesOf(*plain));
          EXPECT_EQ(loaded->arena.used(), plain->arena.used());
          const auto head = [](const LoadedWeights& weights) {
            return static_cast<const std::byte*>(weights.weights.lm_head->data) - weights.arena.data();
          };
          EXPECT_EQ(head(*loaded), head(*plain));
        }
        EXPECT_EQ(std::filesystem::file_size(Path(rank, compute)),
                  static_cast<uintmax_t>(kPackedHeaderBytes + plain->arena.capacity()));
      }
    }
  }
}

TEST_F(PackedWeightsTest, WithoutAFolderNothingIsWritten) {
  Open({});
  packed_.folder.clear();
  ASSERT_TRUE(Load().ok());
  EXPECT_FALSE(std::filesystem::exists(model_ + "/packed"));
}

TEST_F(PackedWeightsTest, AWholeFileIsAllThatIsLeft) {
  Open({});
  ASSERT_TRUE(Load().ok());
  std::ofstream(Path() + ".partial") << "of a writer that died";
  Flip(0);
  ASSERT_TRUE(Load().ok());
  std::vector<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator(packed_.folder)) left.push_back(entry.path());
  EXPECT_EQ(left, std::vector<std::string>{Path()});
}

TEST_F(PackedWeightsTest, MappedWeightsOutliveTheirFile) {
  Open({});
  ASSERT_TRUE(Load().ok());
  const auto mapped = Load();
  ASSERT_TRUE(mapped.ok() && WasMapped());
  const std::vector<std::byte> before = BytesOf(*mapped);
  Flip(0);
  ASSERT_TRUE(Load().ok());
  EXPECT_FALSE(WasMapped());
  std::filesystem::remove(Path());
  EXPECT_EQ(BytesOf(*mapped), before) << "the file was replaced, not written to";
}

TEST_F(PackedWeightsTest, DamagedFilesArePackedAgain) {
  Open({});
  ASSERT_TRUE(Load().ok());
  const auto size = std::filesystem::file_size(Path());

  std::filesystem::resize_file(Path(), size - 1);
  ExpectRepacked(absl::StatusCode::kDataLoss, "were written");
  std::filesystem::resize_file(Path(), size + 64);
  ExpectRepacked(absl::StatusCode::kDataLoss, "were written");
  std::filesystem::resize_file(Path(), 100);
  ExpectRepacked(absl::StatusCode::kDataLoss, "100 bytes are too few");
  std::filesystem::resize_file(Path(), 0);
  ExpectRepacked(absl::StatusCode::kDataLoss, "0 bytes are too few");
  Flip(0);
  ExpectRepacked(absl::StatusCode::kDataLoss, "not a file of packed weights");
  for (const int64_t offset : {16, 24, 60, 100, 140, 500, 4095}) {
    Flip(offset);
    ExpectRepacked(absl::StatusCode::kDataLoss, "the header is damaged");
  }
}

TEST_F(PackedWeightsTest, FilesOfOtherWeightsArePackedAgain) {
  Open({});
  ASSERT_TRUE(Load().ok());
  ChangeHeader([](PackedHeader& header) { ++header.packing_version; });
  ExpectRepacked(absl::StatusCode::kFailedPrecondition, "packing version 2; this one has version 1");
  ChangeHeader([](PackedHeader& header) { ++header.tensors[0]; });
  ExpectRepacked(absl::StatusCode::kFailedPrecondition, "other tensors");

  ASSERT_TRUE(Load(0).ok());
  std::filesystem::rename(Path(0), Path());
  ExpectRepacked(absl::StatusCode::kFailedPrecondition,
                 "rank 0, BF16; this is tp=2 dp=1 ep=2 pp=1, rank 1, BF16");
  ASSERT_TRUE(Load(1, DType::kF32).ok());
  std::filesystem::rename(Path(1, DType::kF32), Path());
  ExpectRepacked(absl::StatusCode::kFailedPrecondition, "rank 1, F32; this is");
}

TEST_F(PackedWeightsTest, AChangedCheckpointIsPackedAgain) {
  Open({});
  for (const char* file : {"model.safetensors", "config.json"}) {
    ASSERT_TRUE(Load().ok());
    const std::filesystem::path changed = std::filesystem::path(model_) / file;
    std::filesystem::last_write_time(
        changed, std::filesystem::last_write_time(changed) - std::chrono::microseconds(1));
    ExpectRepacked(absl::StatusCode::kFailedPrecondition, "its files have changed since");
  }
}

TEST_F(PackedWeightsTest, DamagedDataIsFoundByTheFullCheckAlone) {
  Open({});
  ASSERT_TRUE(Load().ok());
  const auto size = static_cast<int64_t>(std::filesystem::file_size(Path()));
  for (const int64_t offset : {kPackedHeaderBytes, size / 2, size - 1}) {
    Flip(offset);
    packed_.full_check = false;
    ASSERT_TRUE(Load().ok());
    EXPECT_TRUE(WasMapped());
    packed_.full_check = true;
    for (const bool mapped : {false, true}) {
      ASSERT_TRUE(Load().ok());
      EXPECT_EQ(WasMapped(), mapped) << offset;
    }
  }
}

TEST_F(PackedWeightsTest, OnlyTheFullCheckInsistsOnAFile) {
  Open({});
  packed_.folder = model_ + "/config.json/packed";  // below a file
  const auto loaded = Load();
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  packed_.full_check = true;
  const auto status = Load().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(packed_.folder));
}

// A whole model on two ranks, with fp8 scales and expert groups: from the checkpoint and from packed files.
TEST_F(PackedWeightsTest, EnginesGiveTheSameLogits) {
  Open({});
  EngineOptions options = testing::TinyOptions(model_, DType::kBF16, kTwoRanks);
  testing::Sequence sequence = {.id = 1, .tokens = testing::RandomTokens(20, 3), .blocks = {2}};
  const testing::WrittenStep plan = {.epoch = 7, .sequences = {sequence.Chunk(0, 20)}};
  std::vector<testing::Logits> logits;
  for (const std::string& folder : {std::string(), packed_.folder, packed_.folder}) {
    options.packed.folder = folder;
    auto rack = testing::Rack::Create(options);
    ASSERT_TRUE(rack.ok()) << rack.status();
    logits.push_back((*rack)->LogitsOf(plan).front());
  }
  EXPECT_EQ(logits[1], logits[0]);
  EXPECT_EQ(logits[2], logits[0]);
}

}  // namespace
}  // namespace deeprack::worker
