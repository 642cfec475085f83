#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/keys/key_file.h"
#include "cli/keys/keys.h"
#include "gtest/gtest.h"

namespace deeprack::cli {
namespace {

const absl::Time kNow = absl::FromUnixMillis(1764464400'500);  // 2025-11-30 01:00:00.5

TEST(ParseExpiry, SpansAndDays) {
  EXPECT_EQ(*ParseExpiry("never", kNow), absl::InfiniteFuture());
  EXPECT_EQ(*ParseExpiry("30d", kNow), absl::FromUnixSeconds(1764464400 + 30 * 86400));
  EXPECT_EQ(*ParseExpiry("12h", kNow), absl::FromUnixSeconds(1764464400 + 12 * 3600));
  EXPECT_EQ(*ParseExpiry("90m", kNow), absl::FromUnixSeconds(1764464400 + 90 * 60));
  EXPECT_EQ(*ParseExpiry("2025-12-01", kNow), absl::FromUnixSeconds(1764547200));
  for (const char* bad :
       {"", "d", "0d", "-1d", "1.5h", "30", "30s", "99999999999d", "2025-11-30", "2025-13-01", "soon"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseExpiry(bad, kNow).status())) << bad;
  }
}

TEST(Keys, AddPrintsTheKeyAndStoresItsHash) {
  const std::string path = (std::filesystem::path(testing::TempDir()) / "keys_of_command").string();
  std::filesystem::remove(path);
  testing::internal::CaptureStdout();
  ASSERT_TRUE(AddKey(path, "alice", absl::InfiniteFuture(), kNow).ok());
  std::string key = testing::internal::GetCapturedStdout();
  ASSERT_FALSE(key.empty());
  key.pop_back();  // the line's end
  const auto file = ReadKeyFile(path);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_NE(file->Find("alice"), nullptr);
  EXPECT_EQ(file->Find("alice")->hash, HashKey(file->salt, key));
  EXPECT_EQ(KeyFileText(*file).find(key), std::string::npos);

  EXPECT_TRUE(absl::IsFailedPrecondition(AddKey(path, "alice", absl::InfiniteFuture(), kNow)));
  EXPECT_TRUE(absl::IsInvalidArgument(AddKey(path, "a b", absl::InfiniteFuture(), kNow)));
  testing::internal::CaptureStdout();
  EXPECT_TRUE(AddKey(path, "bob", kNow, kNow).ok());
  EXPECT_TRUE(ListKeys(path, kNow).ok());
  const std::string list = testing::internal::GetCapturedStdout();
  EXPECT_NE(list.find("alice                    2025-11-30T01:00:00Z  never\n"), std::string::npos) << list;
  EXPECT_NE(list.find("(has expired)"), std::string::npos) << list;

  EXPECT_TRUE(RemoveKey(path, "alice").ok());
  EXPECT_TRUE(absl::IsNotFound(RemoveKey(path, "alice")));
  EXPECT_EQ(ReadKeyFile(path)->keys.size(), 1);
  EXPECT_TRUE(absl::IsNotFound(ListKeys(path + ".none", kNow)));
}

TEST(Keys, ThatAreMadeAtTheSameTimeAreAllStored) {
  const std::string path = (std::filesystem::path(testing::TempDir()) / "keys_of_threads").string();
  std::filesystem::remove(path);
  constexpr int kThreads = 8, kKeys = 10;
  testing::internal::CaptureStdout();
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&path, thread] {
      for (int key = 0; key < kKeys; ++key) {
        const std::string name = "key-" + std::to_string(thread) + "-" + std::to_string(key);
        EXPECT_TRUE(AddKey(path, name, absl::InfiniteFuture(), kNow).ok());
        if (key % 2 == 1) {
          EXPECT_TRUE(RemoveKey(path, name).ok());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  testing::internal::GetCapturedStdout();
  const auto file = ReadKeyFile(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->keys.size(), kThreads * kKeys / 2u);
}

}  // namespace
}  // namespace deeprack::cli
