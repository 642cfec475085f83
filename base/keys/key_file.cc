#include "base/keys/key_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"

namespace deeprack {
namespace {

constexpr absl::string_view kFirstLine = "deeprack-keys 1";
constexpr char kTimeFormat[] = "%Y-%m-%dT%H:%M:%SZ";
constexpr size_t kMostBytes = 16 << 20;

absl::Status SystemError(const std::string& path, int error) {
  const std::string message = absl::StrCat(path, ": ", std::strerror(error));
  if (error == ENOENT || error == ENOTDIR) return absl::NotFoundError(message);
  if (error == EACCES || error == EPERM || error == EROFS) return absl::PermissionDeniedError(message);
  return absl::UnavailableError(message);
}

// Closes a descriptor at its end.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

std::optional<KeyHash> ParseHash(absl::string_view digits) {
  KeyHash hash;
  if (digits.size() != 2 * hash.size() || !std::all_of(digits.begin(), digits.end(), absl::ascii_isxdigit)) {
    return std::nullopt;
  }
  const std::string bytes = absl::HexStringToBytes(digits);
  std::copy(bytes.begin(), bytes.end(), hash.begin());
  return hash;
}

std::string HashText(const KeyHash& hash) {
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(hash.data()), hash.size()));
}

std::optional<absl::Time> ParseTime(absl::string_view text) {
  absl::Time time;
  std::string error;
  if (text == "never") return absl::InfiniteFuture();
  if (!absl::ParseTime(kTimeFormat, text, &time, &error)) return std::nullopt;
  return time;
}

std::optional<ApiKey> ParseKey(const std::vector<absl::string_view>& words) {
  if (words.size() != 5 || !IsKeyName(words[1])) return std::nullopt;
  const std::optional<KeyHash> hash = ParseHash(words[2]);
  const std::optional<absl::Time> created = ParseTime(words[3]), expires = ParseTime(words[4]);
  if (!hash || !created || !expires) return std::nullopt;
  return ApiKey{.name = std::string(words[1]), .hash = *hash, .created = *created, .expires = *expires};
}

absl::Status WriteAll(int fd, absl::string_view text, const std::string& path) {
  const auto failed = [&path, bytes = text.size()](int error) {
    const absl::Status status = SystemError(path, error);
    if (error != ENOSPC && error != EDQUOT) return status;
    return absl::Status(status.code(), absl::StrCat(status.message(), "; the file takes ", bytes,
                                                    " bytes, and what was there before stays"));
  };
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed(errno);
    text.remove_prefix(static_cast<size_t>(n));
  }
  return fsync(fd) == 0 ? absl::OkStatus() : failed(errno);
}

}  // namespace

const ApiKey* KeyFile::Find(absl::string_view name) const {
  for (const ApiKey& key : keys) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

absl::StatusOr<KeyFile> ParseKeyFile(absl::string_view text) {
  KeyFile file;
  bool first = true, salted = false;
  int number = 0;
  for (const absl::string_view raw : absl::StrSplit(text, '\n')) {
    ++number;
    const absl::string_view line = absl::StripAsciiWhitespace(raw);
    if (line.empty() || line[0] == '#') continue;
    const auto fault = [&](absl::string_view what) {
      return absl::InvalidArgumentError(absl::StrCat("line ", number, " ", what));
    };
    if (first) {
      if (line != kFirstLine)
        return fault(absl::StrCat("is not \"", kFirstLine, "\": no file of `deeprack keys`"));
      first = false;
      continue;
    }
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words[0] == "salt") {
      const std::optional<KeySalt> salt = words.size() == 2 ? ParseHash(words[1]) : std::nullopt;
      if (!salt || salted) return fault("is not the one salt of 64 hexadecimal digits");
      file.salt = *salt;
      salted = true;
      continue;
    }
    std::optional<ApiKey> key = words[0] == "key" ? ParseKey(words) : std::nullopt;
    if (!key) return fault("is not \"key NAME HASH CREATED EXPIRES\"");
    if (file.Find(key->name) != nullptr) return fault(absl::StrCat("has the name ", key->name, " again"));
    file.keys.push_back(*std::move(key));
  }
  if (!salted) return absl::InvalidArgumentError("the line \"salt ...\" is missing");
  return file;
}

std::string KeyFileText(const KeyFile& file) {
  std::string text = absl::StrCat(kFirstLine, "\nsalt ", HashText(file.salt), "\n");
  for (const ApiKey& key : file.keys) {
    absl::StrAppend(&text, "key ", key.name, " ", HashText(key.hash), " ", KeyTimeText(key.created), " ",
                    KeyTimeText(key.expires), "\n");
  }
  return text;
}

absl::StatusOr<KeyFile> ReadKeyFile(const std::string& path) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return SystemError(path, errno);
  std::string text;
  char piece[4096];
  for (;;) {
    const ssize_t n = read(file.get(), piece, sizeof(piece));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemError(path, errno);
    if (n == 0) break;
    text.append(piece, static_cast<size_t>(n));
    if (text.size() > kMostBytes)
      return absl::InvalidArgumentError(absl::StrCat(path, " is larger than 16 MiB"));
  }
  absl::StatusOr<KeyFile> keys = ParseKeyFile(text);
  if (!keys.ok()) return absl::InvalidArgumentError(absl::StrCat(path, ": ", keys.status().message()));
  return keys;
}

absl::StatusOr<KeyFileLock> KeyFileLock::Take(const std::string& path) {
  const std::string name = path + ".lock";
  const int fd = open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return SystemError(name, errno);
  KeyFileLock lock(fd);
  while (flock(fd, LOCK_EX) != 0) {
    if (errno != EINTR) return SystemError(name, errno);
  }
  return lock;
}

KeyFileLock::KeyFileLock(KeyFileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

KeyFileLock::~KeyFileLock() {
  if (fd_ >= 0) close(fd_);
}

absl::Status WriteKeyFile(const std::string& path, const KeyFile& file) {
  std::string temporary = path + ".XXXXXX";
  const Descriptor descriptor(mkostemp(temporary.data(), O_CLOEXEC));  // mode 0600
  if (descriptor.get() < 0) return SystemError(path, errno);
  absl::Status status = WriteAll(descriptor.get(), KeyFileText(file), path);
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0) status = SystemError(path, errno);
  if (!status.ok()) unlink(temporary.c_str());
  return status;
}

std::string KeyTimeText(absl::Time time) {
  return time == absl::InfiniteFuture() ? "never" : absl::FormatTime(kTimeFormat, time, absl::UTCTimeZone());
}

}  // namespace deeprack
