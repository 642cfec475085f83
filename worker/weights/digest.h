// SHA-256 of lists of values and of large data.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/api/thread_pool.h"

namespace deeprack::worker {

using Digest = std::array<uint8_t, 32>;

// Of a sequence of values. Values are delimited: different sequences hash different bytes.
class DigestOfValues {
 public:
  DigestOfValues();
  ~DigestOfValues();

  void Add(int64_t number);
  void Add(std::string_view text);
  Digest Finish();  // once

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

Digest DigestOf(std::span<const std::byte> data);

// Of data that comes in runs, hashed by many threads: the digest of the digests of its blocks.
class BlockDigest {
 public:
  static constexpr int64_t kBlockBytes = int64_t{1} << 20;

  // Adds the next run: whole blocks, but for the last run.
  void Add(std::span<const std::byte> run, kernels::ThreadPool& pool);
  Digest Finish() const;

 private:
  std::vector<Digest> blocks_;
};

}  // namespace deeprack::worker
