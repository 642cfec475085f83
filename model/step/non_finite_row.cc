#include "model/step/non_finite_row.h"

#include "absl/strings/str_cat.h"

namespace deeprack::model {
namespace {

std::string Trace(const NonFiniteRow& row) {
  switch (row.place) {
    case NonFiniteRow::Place::kKvEntry:
      return absl::StrCat("; layer ", row.layer,
                          " is the first on this rank whose KV entry of the position is not finite");
    case NonFiniteRow::Place::kHiddenState:
      return absl::StrCat("; the KV entries of the position are finite, the hidden state after layer ",
                          row.layer, " is not");
    case NonFiniteRow::Place::kHead:
      return absl::StrCat("; the hidden state after layer ", row.layer,
                          " is finite, so the final norm or the head made the fault");
    case NonFiniteRow::Place::kUnknown:
      return "";
  }
  return "";
}

}  // namespace

std::string Describe(const NonFiniteRow& row) {
  return absl::StrCat("rank ", row.rank, ": the logits after position ", row.position,
                      " are not finite (infinite or NaN), first that of token ", row.token, Trace(row));
}

}  // namespace deeprack::model
