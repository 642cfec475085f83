#include "cli/keys/keys.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/keys/key_file.h"
#include "base/status_macros.h"

namespace deeprack::cli {
namespace {

constexpr int kMostUnits = 1 << 20;

absl::Duration UnitOf(char letter) {
  switch (letter) {
    case 'd':
      return absl::Hours(24);
    case 'h':
      return absl::Hours(1);
    case 'm':
      return absl::Minutes(1);
    default:
      return absl::ZeroDuration();
  }
}

absl::Time WholeSecond(absl::Time time) { return absl::FromUnixSeconds(absl::ToUnixSeconds(time)); }

}  // namespace

absl::StatusOr<absl::Time> ParseExpiry(absl::string_view text, absl::Time now) {
  if (text == "never") return absl::InfiniteFuture();
  const absl::Duration unit = text.empty() ? absl::ZeroDuration() : UnitOf(text.back());
  int count = 0;
  if (unit > absl::ZeroDuration() && absl::SimpleAtoi(text.substr(0, text.size() - 1), &count) && count > 0 &&
      count <= kMostUnits) {
    return WholeSecond(now + count * unit);
  }
  absl::Time day;
  std::string error;
  if (!absl::ParseTime("%Y-%m-%d", text, &day, &error)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is no time; write 30d, 12h, 90m, 2027-01-31 or never"));
  }
  if (day <= now) return absl::InvalidArgumentError(absl::StrCat(text, " has passed"));
  return day;
}

absl::Status AddKey(const std::string& file, const std::string& name, absl::Time expires, absl::Time now) {
  if (!IsKeyName(name)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", name, "' is no name of a key: 1 to 64 letters, digits, '.', '-' and '_'"));
  }
  DR_ASSIGN_OR_RETURN(const KeyFileLock lock, KeyFileLock::Take(file));
  absl::StatusOr<KeyFile> keys = ReadKeyFile(file);
  if (absl::IsNotFound(keys.status())) keys = KeyFile{.salt = MakeKeySalt()};
  DR_RETURN_IF_ERROR(keys.status());
  if (keys->Find(name) != nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(file, " has a key ", name, "; remove it first"));
  }
  const std::string text = MakeKeyText();
  keys->keys.push_back(
      {.name = name, .hash = HashKey(keys->salt, text), .created = WholeSecond(now), .expires = expires});
  DR_RETURN_IF_ERROR(WriteKeyFile(file, *keys));
  std::printf("%s\n", text.c_str());
  std::fprintf(stderr, "deeprack: this is the only time that the key of %s is shown; %s has its hash\n",
               name.c_str(), file.c_str());
  return absl::OkStatus();
}

absl::Status ListKeys(const std::string& file, absl::Time now) {
  DR_ASSIGN_OR_RETURN(const KeyFile keys, ReadKeyFile(file));
  std::printf("%-24s %-20s  %s\n", "name", "created", "expires");
  for (const ApiKey& key : keys.keys) {
    std::printf("%-24s %-20s  %s%s\n", key.name.c_str(), KeyTimeText(key.created).c_str(),
                KeyTimeText(key.expires).c_str(), now >= key.expires ? " (has expired)" : "");
  }
  return absl::OkStatus();
}

absl::Status RemoveKey(const std::string& file, const std::string& name) {
  DR_ASSIGN_OR_RETURN(const KeyFileLock lock, KeyFileLock::Take(file));
  DR_ASSIGN_OR_RETURN(KeyFile keys, ReadKeyFile(file));
  const auto removed =
      std::remove_if(keys.keys.begin(), keys.keys.end(), [&](const ApiKey& key) { return key.name == name; });
  if (removed == keys.keys.end()) {
    return absl::NotFoundError(absl::StrCat(file, " has no key ", name));
  }
  keys.keys.erase(removed, keys.keys.end());
  return WriteKeyFile(file, keys);
}

}  // namespace deeprack::cli
