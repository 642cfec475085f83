// The alphabet of byte-level BPE (GPT-2): each of the 256 bytes is written as one printable character in
// vocabularies. Printable Latin-1 bytes stand for themselves; the others, in order, for U+0100, U+0101, ...
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace deeprack::coordinator {

uint32_t ByteToSymbol(uint8_t byte);
std::optional<uint8_t> SymbolToByte(uint32_t code_point);

// The bytes that `token`, written in this alphabet, stands for; nullopt when it holds another character or is
// not UTF-8.
std::optional<std::string> SymbolsToBytes(std::string_view token);

}  // namespace deeprack::coordinator
