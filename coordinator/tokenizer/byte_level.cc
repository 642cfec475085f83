#include "coordinator/tokenizer/byte_level.h"

#include <array>

#include "coordinator/tokenizer/utf8.h"

namespace deeprack::coordinator {
namespace {

constexpr uint32_t kFirstSubstitute = 0x100;
constexpr int kSubstitutes = 68;

constexpr bool StandsForItself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

struct Alphabet {
  std::array<uint32_t, 256> symbol{};
  std::array<uint8_t, kSubstitutes> substituted{};  // the byte that U+0100 + i stands for
};

constexpr Alphabet MakeAlphabet() {
  Alphabet alphabet;
  int next = 0;
  for (int byte = 0; byte < 256; ++byte) {
    if (StandsForItself(byte)) {
      alphabet.symbol[byte] = byte;
    } else {
      alphabet.symbol[byte] = kFirstSubstitute + next;
      alphabet.substituted[next++] = byte;
    }
  }
  return alphabet;
}

constexpr Alphabet kAlphabet = MakeAlphabet();
static_assert(kAlphabet.symbol[' '] == 0x120 &&
              kAlphabet.symbol[0xAD] == kFirstSubstitute + kSubstitutes - 1);

}  // namespace

uint32_t ByteToSymbol(uint8_t byte) { return kAlphabet.symbol[byte]; }

std::optional<uint8_t> SymbolToByte(uint32_t code_point) {
  if (code_point < 256) {
    if (!StandsForItself(static_cast<int>(code_point))) return std::nullopt;
    return static_cast<uint8_t>(code_point);
  }
  if (code_point >= kFirstSubstitute + kSubstitutes) return std::nullopt;
  return kAlphabet.substituted[code_point - kFirstSubstitute];
}

std::optional<std::string> SymbolsToBytes(std::string_view token) {
  std::string bytes;
  for (size_t at = 0; at < token.size();) {
    const Utf8Step step = ReadUtf8(token.substr(at));
    if (step.kind != Utf8Kind::kValid) return std::nullopt;
    const std::optional<uint8_t> byte = SymbolToByte(step.code_point);
    if (!byte.has_value()) return std::nullopt;
    bytes.push_back(static_cast<char>(*byte));
    at += step.length;
  }
  return bytes;
}

}  // namespace deeprack::coordinator
