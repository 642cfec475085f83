// The alphabet of byte-level BPE (GPT-2). Vocabularies write each of the 256 bytes as one printable
// character, its symbol. The symbol of a printable Latin-1 byte is that character; the other bytes have
// U+0100, U+0101, ..., in order.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace deeprack::coordinator {

uint32_t ByteToSymbol(uint8_t byte);
std::optional<uint8_t> SymbolToByte(uint32_t code_point);

// The bytes whose symbols are `token`. nullopt: `token` has a character that is no symbol, or is not UTF-8.
std::optional<std::string> SymbolsToBytes(std::string_view token);

}  // namespace deeprack::coordinator
