// What a packed file is a packing of. Two ranks' weights have the same bytes if these are equal.
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
  Digest tensors;     // what is packed, in which form, from which slices
  Digest checkpoint;  // names, sizes and modification times of its files: data is not read for this
};

// Unavailable: a file of the checkpoint cannot be examined.
absl::StatusOr<PackedIdentity> IdentityOf(const RankWeights& source);

// Of names, sizes and modification times of a checkpoint's files, as in PackedIdentity.
absl::StatusOr<Digest> DigestOfCheckpoint(const checkpoint::CheckpointReader& reader);

// "DeepSeek-R1.tp8-dp2-ep16-pp1.bf16.rank-3.packed": each layout and rank of a model has its own file.
std::string PackedFileName(const std::string& model_path, const sizing::RankSpec& spec);

}  // namespace deeprack::worker
