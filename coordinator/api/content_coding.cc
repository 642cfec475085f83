#include "coordinator/api/content_coding.h"

#include <zlib.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace deeprack::coordinator {
namespace {

// zlib's state of one expansion.
class Inflater {
 public:
  Inflater() {
    constexpr int kGzipAlone = 16 + MAX_WBITS;
    ok_ = inflateInit2(&stream_, kGzipAlone) == Z_OK;
  }
  Inflater(const Inflater&) = delete;
  ~Inflater() {
    if (ok_) inflateEnd(&stream_);
  }

  bool ok() const { return ok_; }
  z_stream& stream() { return stream_; }

 private:
  z_stream stream_{};
  bool ok_ = false;
};

}  // namespace

absl::StatusOr<std::string> Gunzip(absl::string_view compressed, size_t max_bytes) {
  constexpr size_t kStep = 64 << 10;
  Inflater inflater;
  if (!inflater.ok()) return absl::InternalError("zlib cannot start");
  z_stream& stream = inflater.stream();
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data()));
  stream.avail_in = static_cast<uInt>(compressed.size());

  std::string text;
  int code = Z_OK;
  do {
    if (code == Z_STREAM_END) inflateReset(&stream);  // another member follows
    const size_t before = text.size();
    // One byte beyond the limit shows that there is more.
    text.resize(before + std::min(kStep, max_bytes + 1 - before));
    stream.next_out = reinterpret_cast<Bytef*>(text.data() + before);
    stream.avail_out = static_cast<uInt>(text.size() - before);
    code = inflate(&stream, Z_NO_FLUSH);
    text.resize(text.size() - stream.avail_out);
    if (text.size() > max_bytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the decoded body is larger than ", max_bytes, " bytes"));
    }
    if (code == Z_BUF_ERROR || (code == Z_OK && stream.avail_in == 0 && stream.avail_out > 0)) {
      return absl::InvalidArgumentError("the gzip data is cut");
    }
    if (code != Z_OK && code != Z_STREAM_END) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the body is not gzip: ", stream.msg != nullptr ? stream.msg : "it cannot be expanded"));
    }
  } while (code != Z_STREAM_END || stream.avail_in > 0);
  return text;
}

}  // namespace deeprack::coordinator
