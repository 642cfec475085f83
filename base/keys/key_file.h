// The file of API keys. `deeprack keys` writes the file, the coordinator reads the file. A line each:
//   deeprack-keys 1
//   salt 64_HEXADECIMAL_DIGITS
//   key NAME 64_HEXADECIMAL_DIGITS CREATED EXPIRES
// The digits of a key are its HMAC-SHA-256 under the salt. CREATED and EXPIRES are UTC times
// ("2026-11-30T01:20:00Z"); EXPIRES may be "never". Empty lines and lines that begin with '#' are skipped.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/keys/api_key.h"

namespace deeprack {

struct KeyFile {
  KeySalt salt{};
  std::vector<ApiKey> keys;

  const ApiKey* Find(absl::string_view name) const;  // nullptr: no key has this name
};

// Errors: InvalidArgument with the line at fault.
absl::StatusOr<KeyFile> ParseKeyFile(absl::string_view text);

std::string KeyFileText(const KeyFile& file);

// Errors: NotFound (no such file), PermissionDenied, InvalidArgument (not a file of keys, or over 16 MiB).
// The message begins with the path.
absl::StatusOr<KeyFile> ReadKeyFile(const std::string& path);

// Keeps other processes and threads from changing a file of keys, until its end: hold one from the read to
// the write. The lock is on the file PATH.lock, which stays.
class KeyFileLock {
 public:
  // Waits until no other lock of this path is held. Errors: NotFound (no such folder), PermissionDenied,
  // Unavailable.
  static absl::StatusOr<KeyFileLock> Take(const std::string& path);

  KeyFileLock(KeyFileLock&& other) noexcept;
  KeyFileLock& operator=(KeyFileLock&&) = delete;
  ~KeyFileLock();

 private:
  explicit KeyFileLock(int fd) : fd_(fd) {}
  int fd_;  // -1: moved from
};

// Replaces the file in one step, so that a reader sees the old keys or the new ones. Only the owner may read
// the file (mode 0600). Errors: PermissionDenied, Unavailable.
absl::Status WriteKeyFile(const std::string& path, const KeyFile& file);

// "2026-11-30T01:20:00Z", or "never" for InfiniteFuture.
std::string KeyTimeText(absl::Time time);

}  // namespace deeprack
