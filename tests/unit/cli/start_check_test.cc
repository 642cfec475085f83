#include "cli/serve/start_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/exit_code.h"

namespace deeprack::cli {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

// A small deepseek_v3. It has 6 heads, which tp 4 does not divide.
constexpr char kConfig[] = R"({
  "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "vocab_size": 96, "hidden_size": 48,
  "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 6, "max_position_embeddings": 256,
  "rms_norm_eps": 1e-6, "rope_theta": 10000, "q_lora_rank": 24, "kv_lora_rank": 16, "qk_nope_head_dim": 8,
  "qk_rope_head_dim": 4, "v_head_dim": 8, "intermediate_size": 96, "moe_intermediate_size": 24, "first_k_dense_replace": 1,
  "n_routed_experts": 12, "n_shared_experts": 1, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1,
  "norm_topk_prob": true, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "topk_method": "noaux_tc",
  "hidden_act": "silu", "attention_bias": false, "tie_word_embeddings": false, "moe_layer_freq": 1,
  "num_nextn_predict_layers": 0, "bos_token_id": 0, "eos_token_id": 1})";

class CheckStartTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        fs::path(::testing::TempDir()) / (std::string("deeprack_preflight_") +
                                          ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    Write("config.json", kConfig);
    options_.model = folder_.string();
  }
  void TearDown() override { fs::remove_all(folder_); }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  void ExpectEnd(ExitCode code, const std::string& message) {
    const absl::Status status = CheckStart(options_);
    EXPECT_EQ(ExitCodeOf(status), code) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  }
  fs::path folder_;
  Settings options_;
};

TEST_F(CheckStartTest, NamesAMissingFolder) {
  options_.model = "/no/such/folder";
  ExpectEnd(ExitCode::kConfiguration, "/no/such/folder: no such folder");
}

TEST_F(CheckStartTest, NamesAFolderWithoutConfig) {
  fs::remove(folder_ / "config.json");
  ExpectEnd(ExitCode::kConfiguration, "config.json: cannot be read");
}

TEST_F(CheckStartTest, NamesAnUnknownArchitecture) {
  std::string other = kConfig;
  other.replace(other.find("\"deepseek_v3\""), 13, "\"mamba\"");
  Write("config.json", other);
  ExpectEnd(ExitCode::kConfiguration, "mamba");
}

TEST_F(CheckStartTest, ListsWhatDividesTheHeads) {
  options_.tp = 4;
  ExpectEnd(ExitCode::kConfiguration, "6");
  const std::string message(CheckStart(options_).message());
  EXPECT_THAT(message, HasSubstr("tp"));
  EXPECT_THAT(message, HasSubstr("1, 2, 3")) << "what divides";
}

TEST_F(CheckStartTest, SaysThatThereAreNoWeights) { ExpectEnd(ExitCode::kBadWeights, "model.safetensors"); }

TEST_F(CheckStartTest, RefusesADamagedHeader) {
  Write("model.safetensors", std::string("\xff\xff\xff\xff\xff\xff\xff\x7f", 8) + "{}");
  ExpectEnd(ExitCode::kBadWeights, "model.safetensors");
}

TEST_F(CheckStartTest, CountsTheHostsRanks) {
  options_.tp = 2;
  options_.hosts = {{"a", 1}};
  options_.cluster_address = "head:7000";
  ExpectEnd(ExitCode::kConfiguration, "--hosts has room for 1 rank; tp=2 dp=1 ep=2 pp=1 has 2");
}

TEST_F(CheckStartTest, HostsNeedAnAddressToCallBack) {
  options_.hosts = {{"localhost", 1}, {"a", 1}};
  options_.tp = 2;
  for (const char* unreachable : {"127.0.0.1:0", "localhost:7000", "[::1]:7000", "0.0.0.0:7000"}) {
    options_.cluster_address = unreachable;
    ExpectEnd(ExitCode::kConfiguration,
              "--hosts names a, so --cluster-address must be the address of this machine");
  }
}

TEST_F(CheckStartTest, HostsThatAreThisMachineNeedNoOtherAddress) {
  options_.hosts = {{"localhost", 1}, {"127.0.0.1", 1}};
  options_.tp = 2;
  ExpectEnd(ExitCode::kBadWeights, "model.safetensors");  // the addresses are right; there are no weights
}

TEST_F(CheckStartTest, ClusterAddressesMustBeUsableAndProtected) {
  options_.cluster_address = "node1";
  ExpectEnd(ExitCode::kConfiguration, "--cluster-address: address 'node1' is not host:port");
  options_.cluster_address = "node1:7000";
  ExpectEnd(ExitCode::kConfiguration, "--cluster-tls");
  options_.hosts = {{"node1", 1}};
  options_.cluster_address = "0.0.0.0:7000";
  ExpectEnd(ExitCode::kConfiguration, "the address of this machine that the others can reach");
  options_.cluster_tls = (folder_ / "none").string();
  ExpectEnd(ExitCode::kConfiguration, "none: no such folder");
}

TEST_F(CheckStartTest, RefusesAContextBeyondTheModels) {
  options_.max_context = 257;
  ExpectEnd(ExitCode::kConfiguration, "--max-context 257: this model has 256 positions");
}

}  // namespace
}  // namespace deeprack::cli
