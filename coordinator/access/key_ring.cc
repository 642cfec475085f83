#include "coordinator/access/key_ring.h"

#include <sys/stat.h>

#include <utility>

#include "base/status_macros.h"
#include "spdlog/spdlog.h"

namespace deeprack::coordinator {

absl::StatusOr<std::unique_ptr<KeyRing>> KeyRing::Open(const std::string& path) {
  std::unique_ptr<KeyRing> ring(new KeyRing(path));
  DR_RETURN_IF_ERROR(ring->Read());
  return ring;
}

std::optional<Caller> KeyRing::Find(absl::string_view key, absl::Time now) const {
  const std::shared_ptr<const KeyFile> file = keys();
  const KeyHash hash = HashKey(file->salt, key);
  const ApiKey* found = nullptr;
  for (const ApiKey& one : file->keys) {
    if (SameHash(one.hash, hash)) found = &one;
  }
  if (found == nullptr || now >= found->expires) return std::nullopt;
  return Caller{.key = found->name};
}

void KeyRing::Refresh() {
  if (VersionOf(path_) == version_) return;
  if (const absl::Status status = Read(); status.ok()) {
    spdlog::info("the API keys of {} were read again: {} keys", path_, keys()->keys.size());
  } else {
    spdlog::error("the API keys stay as they were: {}", std::string(status.message()));
  }
}

KeyRing::Version KeyRing::VersionOf(const std::string& path) {
  struct stat state {};
  if (stat(path.c_str(), &state) != 0) return {};
  return {.device = state.st_dev,
          .file = state.st_ino,
          .bytes = state.st_size,
          .changed_ns = state.st_mtim.tv_sec * 1'000'000'000 + state.st_mtim.tv_nsec};
}

absl::Status KeyRing::Read() {
  version_ = VersionOf(path_);  // before the file is read: a change in between is seen at the next call
  DR_ASSIGN_OR_RETURN(KeyFile file, ReadKeyFile(path_));
  auto keys = std::make_shared<const KeyFile>(std::move(file));
  const std::lock_guard lock(mutex_);
  keys_ = std::move(keys);
  return absl::OkStatus();
}

std::shared_ptr<const KeyFile> KeyRing::keys() const {
  const std::lock_guard lock(mutex_);
  return keys_;
}

}  // namespace deeprack::coordinator
