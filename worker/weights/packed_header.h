// The first page of a packed file.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

#include "absl/status/status.h"
#include "worker/weights/digest.h"
#include "worker/weights/packed_file.h"
#include "worker/weights/packed_identity.h"

namespace deeprack::worker {

struct PackedHeader {
  char magic[8];
  uint32_t packing_version;
  uint32_t header_bytes;
  int64_t data_bytes;
  Digest tensors;
  Digest checkpoint;
  Digest data;
  char rank[256];  // PackedIdentity::rank, zero-terminated
  char unused[kPackedHeaderBytes - 8 - 2 * 4 - 8 - 4 * 32 - 256];
  Digest header;  // of all before it
};
static_assert(sizeof(PackedHeader) == kPackedHeaderBytes && std::is_trivially_copyable_v<PackedHeader>);
static_assert(std::endian::native == std::endian::little);

PackedHeader MakePackedHeader(const PackedIdentity& identity, int64_t data_bytes, const Digest& data);

// Compares the header of a file of `file_bytes` with what is asked for. Messages are without the path.
// Errors: those of PackedFile::Open.
absl::Status CheckPackedHeader(const PackedHeader& header, int64_t file_bytes, const PackedIdentity& identity,
                               int64_t data_bytes);

}  // namespace deeprack::worker
