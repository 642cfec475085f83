#include "worker/weights/digest.h"

#include <openssl/evp.h>

#include <algorithm>

#include "base/check.h"
#include "base/checked.h"

namespace deeprack::worker {

struct DigestOfValues::Context {
  EVP_MD_CTX* md = EVP_MD_CTX_new();

  Context() { DR_CHECK(md != nullptr && EVP_DigestInit_ex(md, EVP_sha256(), nullptr) == 1); }
  ~Context() { EVP_MD_CTX_free(md); }
  void Update(const void* data, size_t bytes) { DR_CHECK(EVP_DigestUpdate(md, data, bytes) == 1); }
};

DigestOfValues::DigestOfValues() : context_(std::make_unique<Context>()) {}
DigestOfValues::~DigestOfValues() = default;

void DigestOfValues::Add(int64_t number) { context_->Update(&number, sizeof(number)); }

void DigestOfValues::Add(std::string_view text) {
  Add(static_cast<int64_t>(text.size()));
  context_->Update(text.data(), text.size());
}

Digest DigestOfValues::Finish() {
  Digest digest;
  DR_CHECK(EVP_DigestFinal_ex(context_->md, digest.data(), nullptr) == 1);
  return digest;
}

Digest DigestOf(std::span<const std::byte> data) {
  Digest digest;
  DR_CHECK(EVP_Digest(data.data(), data.size(), digest.data(), nullptr, EVP_sha256(), nullptr) == 1);
  return digest;
}

void BlockDigest::Add(std::span<const std::byte> run, kernels::ThreadPool& pool) {
  const size_t first = blocks_.size();
  const int64_t bytes = std::ssize(run);
  blocks_.resize(first + static_cast<size_t>(CeilDiv(bytes, kBlockBytes)));
  pool.ParallelFor(CeilDiv(bytes, kBlockBytes), [&](int64_t i) {
    const int64_t begin = i * kBlockBytes;
    blocks_[first + static_cast<size_t>(i)] = DigestOf(
        run.subspan(static_cast<size_t>(begin), static_cast<size_t>(std::min(kBlockBytes, bytes - begin))));
  });
}

Digest BlockDigest::Finish() const { return DigestOf(std::as_bytes(std::span(blocks_))); }

}  // namespace deeprack::worker
