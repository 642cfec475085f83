// Identity of a packed file's content: weights with equal identities have the same bytes.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "checkpoint/checkpoint_reader.h"
#include "sizing/rank_spec.h"
#include "worker/weights/digest.h"
#include "worker/weights/weight_loader.h"

namespace deeprack::worker {

struct PackedIdentity {
  std::string rank;   // layout, rank and compute type, for people: "tp=2 dp=1 ep=2 pp=1, rank 1, BF16"
  Digest tensors;     // of the manifest: which slices are packed, in which form
  Digest checkpoint;  // of names, sizes and modification times of its files
};

// Unavailable: a file of the checkpoint cannot be examined.
absl::StatusOr<PackedIdentity> IdentityOf(const RankWeights& source);

// PackedIdentity::checkpoint. Reads no data.
absl::StatusOr<Digest> DigestOfCheckpoint(const checkpoint::CheckpointReader& reader);

// Equal on machines with the same files: a digest of the names and sizes of the checkpoint's files, of
// config.json (a GGUF contains its config), and of every tensor's name, type and shape. Reads no data of
// tensors, so a file whose data alone was changed is not noticed. Unavailable: as above.
absl::StatusOr<Digest> DigestOfHeaders(const checkpoint::CheckpointReader& reader);

// "DeepSeek-R1.tp8-dp2-ep16-pp1.bf16.rank-3.packed": each layout and rank of a model has its own file.
std::string PackedFileName(const std::string& model_path, const sizing::RankSpec& spec);

}  // namespace deeprack::worker
