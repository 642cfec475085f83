#include "worker/weights/packed_header.h"

#include <cstddef>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "worker/weights/packing.h"

namespace deeprack::worker {
namespace {

constexpr char kMagic[8] = {'D', 'R', 'P', 'A', 'C', 'K', 'E', 'D'};

Digest OwnDigest(const PackedHeader& header) {
  return DigestOf(std::as_bytes(std::span(&header, 1)).first(offsetof(PackedHeader, header)));
}

}  // namespace

PackedHeader MakePackedHeader(const PackedIdentity& identity, int64_t data_bytes, const Digest& data) {
  PackedHeader header = {};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.packing_version = kPackingVersion;
  header.header_bytes = kPackedHeaderBytes;
  header.data_bytes = data_bytes;
  header.tensors = identity.tensors;
  header.checkpoint = identity.checkpoint;
  header.data = data;
  DR_CHECK(identity.rank.size() < sizeof(header.rank));
  std::memcpy(header.rank, identity.rank.data(), identity.rank.size());
  header.header = OwnDigest(header);
  return header;
}

absl::Status CheckPackedHeader(const PackedHeader& header, int64_t file_bytes, const PackedIdentity& identity,
                               int64_t data_bytes) {
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0) {
    return absl::DataLossError("not a file of packed weights");
  }
  if (header.packing_version != kPackingVersion || header.header_bytes != kPackedHeaderBytes) {
    return absl::FailedPreconditionError(absl::StrCat("packed by a program of packing version ",
                                                      header.packing_version, "; this one has version ",
                                                      kPackingVersion));
  }
  if (header.header != OwnDigest(header)) return absl::DataLossError("the header is damaged");
  if (file_bytes - kPackedHeaderBytes != header.data_bytes) {
    return absl::DataLossError(absl::StrCat("holds ", file_bytes - kPackedHeaderBytes, " bytes of weights; ",
                                            header.data_bytes, " were written"));
  }
  const std::string rank(header.rank, strnlen(header.rank, sizeof(header.rank)));
  if (rank != identity.rank) {
    return absl::FailedPreconditionError(
        absl::StrCat("holds the weights of ", rank, "; this is ", identity.rank));
  }
  if (header.tensors != identity.tensors || header.data_bytes != data_bytes) {
    return absl::FailedPreconditionError("holds other tensors than this model's rank has");
  }
  if (header.checkpoint != identity.checkpoint) {
    return absl::FailedPreconditionError(
        "packed from another checkpoint, or its files have changed since (names, sizes, modification times)");
  }
  return absl::OkStatus();
}

}  // namespace deeprack::worker
