// The form in which latent attention computes the positions of a prompt.
#pragma once

#include <cstdint>

namespace deeprack::model {

// kAbsorbed: prompt positions are computed like generated positions, which are always absorbed.
// kExpanded: prompt positions are computed with keys and values of full heads, in chunks of any size.
// The sums of the two forms differ in the last digits, so the position alone decides the form. Consequences:
// logits are a function of the tokens and the prompt's size; a page that holds a generated position must not
// be reused for the prompt of another sequence. Grouped-query attention has one form only and ignores this.
enum class PrefillAttention : uint8_t { kAbsorbed, kExpanded };

}  // namespace deeprack::model
