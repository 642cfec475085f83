// In which form latent attention computes the positions of a prompt.
#pragma once

#include <cstdint>

namespace deeprack::model {

// kAbsorbed: as all others. kExpanded: prompt positions with keys and values of full heads, whatever the
// chunk; generated positions always absorbed. The two forms' sums differ in the last digits, so it is the
// position alone that decides: logits are a function of tokens and the prompt's size, and a page that holds a
// generated position is no other sequence's prompt. Grouped-query attention has one form only.
enum class PrefillAttention : uint8_t { kAbsorbed, kExpanded };

}  // namespace deeprack::model
