#include "base/keys/key_file.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace deeprack {
namespace {

using ::testing::HasSubstr;

KeyFile TwoKeys() {
  KeyFile file{.salt = MakeKeySalt()};
  file.keys.push_back(
      {.name = "alice", .hash = HashKey(file.salt, "1"), .created = absl::FromUnixSeconds(1764464400)});
  file.keys.push_back({.name = "bob",
                       .hash = HashKey(file.salt, "2"),
                       .created = absl::FromUnixSeconds(0),
                       .expires = absl::FromUnixSeconds(1764464401)});
  return file;
}

TEST(KeyFile, TextAndBack) {
  const KeyFile file = TwoKeys();
  const std::string text = KeyFileText(file);
  EXPECT_THAT(text, HasSubstr(" 2025-11-30T01:00:00Z never\n"));
  EXPECT_THAT(text, HasSubstr(" 1970-01-01T00:00:00Z 2025-11-30T01:00:01Z\n"));
  const auto read = ParseKeyFile(absl::StrCat("# a comment\n\n", text, "  \n"));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->salt, file.salt);
  EXPECT_EQ(read->keys, file.keys);
  ASSERT_NE(read->Find("bob"), nullptr);
  EXPECT_EQ(read->Find("bob")->hash, file.keys[1].hash);
  EXPECT_EQ(read->Find("carol"), nullptr);
}

TEST(KeyFile, AFaultNamesItsLine) {
  const std::string hash(64, 'a');
  const std::string head = absl::StrCat("deeprack-keys 1\nsalt ", hash, "\n");
  for (const auto& [text, message] : std::vector<std::pair<std::string, std::string>>{
           {"", "salt"},
           {"alice secret\n", "line 1"},
           {"deeprack-keys 2\n", "line 1"},
           {"deeprack-keys 1\n", "salt"},
           {"deeprack-keys 1\nsalt ab\n", "line 2"},
           {head + "salt " + hash + "\n", "line 3"},
           {head + "key alice " + hash + " 2025-11-30T01:00:00Z\n", "line 3"},
           {head + "key a/b " + hash + " 2025-11-30T01:00:00Z never\n", "line 3"},
           {head + "key alice " + hash.substr(1) + " 2025-11-30T01:00:00Z never\n", "line 3"},
           {head + "key alice " + hash + " yesterday never\n", "line 3"},
           {head + "key a " + hash + " never never\nkey a " + hash + " never never\n", "line 4"},
           {head + "lock a\n", "line 3"}}) {
    const auto read = ParseKeyFile(text);
    EXPECT_TRUE(absl::IsInvalidArgument(read.status())) << text;
    EXPECT_THAT(std::string(read.status().message()), HasSubstr(message)) << text;
  }
}

TEST(KeyFile, IsReplacedForItsOwnerAlone) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "key_file";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  const std::string path = (folder / "keys").string();
  std::ofstream(path) << "old";
  const KeyFile file = TwoKeys();
  ASSERT_TRUE(WriteKeyFile(path, file).ok());
  struct stat state {};
  ASSERT_EQ(stat(path.c_str(), &state), 0);
  EXPECT_EQ(state.st_mode & 0777, 0600);
  EXPECT_EQ(ReadKeyFile(path)->keys, file.keys);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1) << "a temporary file is left";
  EXPECT_TRUE(absl::IsNotFound(ReadKeyFile((folder / "none").string()).status()));
  EXPECT_TRUE(absl::IsNotFound(WriteKeyFile((folder / "none" / "keys").string(), file)));
  std::ofstream(path) << "nonsense\n";
  EXPECT_THAT(std::string(ReadKeyFile(path).status().message()), HasSubstr(absl::StrCat(path, ": line 1")));
}

}  // namespace
}  // namespace deeprack
