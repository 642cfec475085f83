#include "cli/preflight/model_digest.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "model/gguf/gguf_model.h"

namespace deeprack::cli {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kWholeBelow = 2 << 20;  // bytes
constexpr int64_t kHead = 1 << 20;
constexpr int64_t kSample = 64 << 10;
constexpr int64_t kSamples = 16;
constexpr int64_t kPiece = 1 << 20;

struct FreeDigest {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

class File {
 public:
  explicit File(const std::string& path) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  File(const File&) = delete;
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }
  // -1, with errno: the file is not open.
  int64_t size() const { return fd_ < 0 ? -1 : lseek(fd_, 0, SEEK_END); }

 private:
  const int fd_;
};

// Reads parts of a file, and makes the digest of all that was read.
class Digester {
 public:
  explicit Digester(int fd) : fd_(fd), context_(EVP_MD_CTX_new()), piece_(kPiece, '\0') {
    EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr);
  }

  void Add(const void* data, size_t size) { EVP_DigestUpdate(context_.get(), data, size); }

  absl::Status Read(int64_t from, int64_t bytes) {
    while (bytes > 0) {
      const ssize_t got =
          pread(fd_, piece_.data(), static_cast<size_t>(std::min(bytes, kPiece)), static_cast<off_t>(from));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0)
        return absl::UnavailableError(got < 0 ? std::strerror(errno) : "it was cut while it was read");
      Add(piece_.data(), static_cast<size_t>(got));
      from += got;
      bytes -= got;
    }
    return absl::OkStatus();
  }

  std::string Finish() {
    std::string digest(32, '\0');
    EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(digest.data()), nullptr);
    return digest;
  }

 private:
  const int fd_;
  const std::unique_ptr<EVP_MD_CTX, FreeDigest> context_;
  std::string piece_;
};

absl::Status ReadSamples(Digester& digester, int64_t size) {
  DR_RETURN_IF_ERROR(digester.Read(0, kHead));
  const int64_t between = size - kSample - kHead;  // from the end of the head to the last sample
  for (int64_t i = 1; i <= kSamples; ++i) {
    DR_RETURN_IF_ERROR(
        digester.Read(kHead + between / kSamples * i + between % kSamples * i / kSamples, kSample));
  }
  return absl::OkStatus();
}

std::string FolderOf(const std::string& model) {
  return model::IsGgufPath(model) ? fs::path(model).parent_path().string() : model;
}

bool BelongsTo(const std::string& model, const std::string& name) {
  if (model::IsGgufPath(model)) {
    return absl::EndsWith(name, ".gguf") && model::GgufModelName(name) == model::GgufModelName(model);
  }
  for (const char* end : {".safetensors", ".json", ".jinja", ".model"}) {
    if (absl::EndsWith(name, end)) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<std::vector<FileSize>> ListModelFiles(const std::string& model) {
  const std::string folder = FolderOf(model);
  std::vector<FileSize> files;
  std::error_code error;
  for (fs::directory_iterator at(folder.empty() ? "." : folder, error), end; !error && at != end;
       at.increment(error)) {
    const std::string name = at->path().filename().string();
    std::error_code ignored;
    if (!BelongsTo(model, name) || !fs::is_regular_file(at->path(), ignored)) continue;
    const auto size = fs::file_size(at->path(), ignored);
    if (!ignored) files.push_back({name, static_cast<int64_t>(size)});
  }
  if (error) return absl::NotFoundError(absl::StrCat(model, ": ", error.message()));
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return files;
}

absl::StatusOr<std::string> DigestModelFile(const std::string& model, const std::string& name, bool full) {
  if (absl::StrContains(name, '/') || !BelongsTo(model, name))
    return absl::NotFoundError(absl::StrCat("'", name, "' is no file of the model"));
  const std::string path = (fs::path(FolderOf(model)) / name).string();
  const File file(path);
  const int64_t size = file.size();
  if (size < 0) return absl::UnavailableError(absl::StrCat(path, ": ", std::strerror(errno)));
  Digester digester(file.fd());
  digester.Add(&size, sizeof(size));
  const absl::Status read =
      full || size <= kWholeBelow ? digester.Read(0, size) : ReadSamples(digester, size);
  if (!read.ok()) return absl::UnavailableError(absl::StrCat(path, ": ", read.message()));
  return digester.Finish();
}

bool RanksNeed(const std::string& name) {
  return absl::EndsWith(name, ".safetensors") || absl::EndsWith(name, ".gguf") ||
         absl::EndsWith(name, ".safetensors.index.json") || name == "config.json";
}

}  // namespace deeprack::cli
