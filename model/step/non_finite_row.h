// A row of logits with an infinity or a NaN. No token may be drawn from such a row.
#pragma once

#include <cstdint>
#include <string>

#include "base/ids.h"

namespace deeprack::model {

struct NonFiniteRow {
  // How far the rank that draws has followed the row back. Each value says more of the row's hidden state
  // than the one before.
  enum class Place : uint8_t {
    kUnknown,      // nothing was looked at
    kKvEntry,      // `layer` is the first layer on this rank whose KV entry of the position is not finite
    kHiddenState,  // all KV entries are finite; the hidden state after `layer`, the last one, is not
    kHead,         // the hidden state after `layer` is finite; the final norm or the head made the fault
  };

  int32_t position = 0;  // of the token after which the row's next token would stand
  TokenId token = 0;     // the lowest token whose logit is not finite
  Place place = Place::kUnknown;
  int32_t layer = 0;  // counted from the model's first layer
  Rank rank = 0;      // the rank that draws

  bool operator==(const NonFiniteRow&) const = default;
};

// For logs and for errors: "rank 3: the logits after position 17 are not finite (...)".
std::string Describe(const NonFiniteRow& row);

}  // namespace deeprack::model
