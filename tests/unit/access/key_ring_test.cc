#include "coordinator/access/key_ring.h"

#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"

namespace deeprack::coordinator {
namespace {

class KeyRingTest : public testing::Test {
 protected:
  KeyRingTest() : path_((std::filesystem::path(testing::TempDir()) / "key_ring").string()) {
    file_.salt = MakeKeySalt();
    Add("alice", "key of alice");
    Write();
  }

  void Add(const std::string& name, const std::string& key, absl::Time expires = absl::InfiniteFuture()) {
    file_.keys.push_back(
        {.name = name, .hash = HashKey(file_.salt, key), .created = now_, .expires = expires});
  }
  void Write() { ASSERT_TRUE(WriteKeyFile(path_, file_).ok()); }

  const std::string path_;
  const absl::Time now_ = absl::FromUnixSeconds(1000);
  KeyFile file_;
};

TEST_F(KeyRingTest, FindsTheNameOfAKey) {
  Add("bob", "key of bob", now_ + absl::Seconds(1));
  Write();
  const auto ring = KeyRing::Open(path_);
  ASSERT_TRUE(ring.ok()) << ring.status();
  EXPECT_EQ((*ring)->Find("key of alice", now_)->key, "alice");
  EXPECT_EQ((*ring)->Find("key of bob", now_)->key, "bob");
  EXPECT_EQ((*ring)->Find("key of bob", now_ + absl::Seconds(1)), std::nullopt) << "it has expired";
  EXPECT_EQ((*ring)->Find("key of carol", now_), std::nullopt);
  EXPECT_EQ((*ring)->Find("", now_), std::nullopt);
  EXPECT_EQ((*ring)->Find("alice", now_), std::nullopt);
}

TEST_F(KeyRingTest, FollowsTheFile) {
  const auto ring = KeyRing::Open(path_);
  ASSERT_TRUE(ring.ok()) << ring.status();
  Add("bob", "key of bob");
  Write();
  EXPECT_EQ((*ring)->Find("key of bob", now_), std::nullopt);
  (*ring)->Refresh();
  EXPECT_EQ((*ring)->Find("key of bob", now_)->key, "bob");
  file_.keys.clear();
  Write();
  (*ring)->Refresh();
  EXPECT_EQ((*ring)->Find("key of alice", now_), std::nullopt);
}

TEST_F(KeyRingTest, KeepsItsKeysWhenTheFileIsBroken) {
  const auto ring = KeyRing::Open(path_);
  ASSERT_TRUE(ring.ok()) << ring.status();
  std::ofstream(path_) << "nonsense\n";
  (*ring)->Refresh();
  EXPECT_EQ((*ring)->Find("key of alice", now_)->key, "alice");
  std::filesystem::remove(path_);
  (*ring)->Refresh();
  EXPECT_EQ((*ring)->Find("key of alice", now_)->key, "alice");
  file_.keys.front().name = "new";
  Write();
  (*ring)->Refresh();
  EXPECT_EQ((*ring)->Find("key of alice", now_)->key, "new");
}

TEST_F(KeyRingTest, NeedsAFile) {
  EXPECT_TRUE(absl::IsNotFound(KeyRing::Open(path_ + "/none").status()));
  std::ofstream(path_) << "nonsense\n";
  EXPECT_TRUE(absl::IsInvalidArgument(KeyRing::Open(path_).status()));
}

}  // namespace
}  // namespace deeprack::coordinator
