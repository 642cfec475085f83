// The API keys that the server accepts, as the file of keys has them now.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/keys/key_file.h"
#include "coordinator/access/caller.h"

namespace deeprack::coordinator {

class KeyRing {
 public:
  // Errors: the errors of ReadKeyFile. A file without keys is accepted: every request is then refused.
  static absl::StatusOr<std::unique_ptr<KeyRing>> Open(const std::string& path);

  // Who sends a request with this key at `now`. Nullopt: no such key, or the key has expired. Thread-safe.
  // The time does not depend on how much of a key is right.
  std::optional<Caller> Find(absl::string_view key, absl::Time now) const;

  // Reads the file again if it has changed. On an error the keys stay as they are, and the log has the error
  // once. Reads a small file: for a thread that may wait.
  void Refresh();

 private:
  // What changes when a file is replaced or written.
  struct Version {
    uint64_t device = 0, file = 0;
    int64_t bytes = -1, changed_ns = 0;
    bool operator==(const Version&) const = default;
  };

  explicit KeyRing(std::string path) : path_(std::move(path)) {}

  static Version VersionOf(const std::string& path);
  absl::Status Read();
  std::shared_ptr<const KeyFile> keys() const;

  const std::string path_;
  Version version_;  // of the file when it was last read
  mutable std::mutex mutex_;
  std::shared_ptr<const KeyFile> keys_;
};

}  // namespace deeprack::coordinator
