// A tokenizer for tests: token 0..255 is that byte; R1's control tokens follow.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/tokenizer/tokenizer.h"
#include "coordinator/tokenizer/utf8.h"

namespace deeprack::coordinator {

class ByteTokenizer final : public Tokenizer {
 public:
  static constexpr std::array<std::string_view, 15> kSpecial = {"<｜begin▁of▁sentence｜>",
                                                                "<｜end▁of▁sentence｜>",
                                                                "<｜User｜>",
                                                                "<｜Assistant｜>",
                                                                "<think>",
                                                                "</think>",
                                                                "<｜tool▁calls▁begin｜>",
                                                                "<｜tool▁calls▁end｜>",
                                                                "<｜tool▁call▁begin｜>",
                                                                "<｜tool▁call▁end｜>",
                                                                "<｜tool▁sep｜>",
                                                                "<｜tool▁outputs▁begin｜>",
                                                                "<｜tool▁outputs▁end｜>",
                                                                "<｜tool▁output▁begin｜>",
                                                                "<｜tool▁output▁end｜>"};
  static constexpr TokenId kBos = 256, kEos = 257, kThinkBegin = 260, kThinkEnd = 261;

  ByteTokenizer() {
    for (int i = 0; i < 256; ++i) bytes_ += static_cast<char>(i);
  }

  absl::StatusOr<std::vector<TokenId>> EncodeParts(std::string_view text,
                                                   std::span<const ByteRange> special) const override {
    std::vector<TokenId> ids;
    for (size_t at = 0; at < text.size();) {
      size_t length = 1;
      TokenId id = static_cast<unsigned char>(text[at]);
      for (size_t i = 0; i < kSpecial.size(); ++i) {
        const size_t end = at + kSpecial[i].size();
        if (text.substr(at, kSpecial[i].size()) != kSpecial[i]) continue;
        for (const ByteRange& range : special) {
          if (range.begin > at || range.end < end) continue;
          length = kSpecial[i].size();
          id = kBos + static_cast<TokenId>(i);
        }
      }
      ids.push_back(id);
      at += length;
    }
    return ids;
  }

  std::string_view TokenBytes(TokenId id, bool show_special) const override {
    if (id < 256) return std::string_view(bytes_).substr(id, 1);
    return show_special ? kSpecial[id - 256] : std::string_view();
  }

  std::string Decode(std::span<const TokenId> ids, bool show_special) const override {
    std::string bytes, text;
    for (const TokenId id : ids) bytes += TokenBytes(id, show_special);
    AppendUtf8Lossy(bytes, &text);
    return text;
  }

  std::optional<TokenId> TokenToId(std::string_view token) const override {
    for (size_t i = 0; i < kSpecial.size(); ++i) {
      if (kSpecial[i] == token) return kBos + static_cast<TokenId>(i);
    }
    return std::nullopt;
  }

  bool IsSpecial(TokenId id) const override { return id >= 256; }
  int32_t vocab_size() const override { return 256 + static_cast<int32_t>(kSpecial.size()); }

  // The ids of a text with its control tokens, for scripts of what a model says.
  std::vector<TokenId> Ids(std::string_view text) const { return *Encode(text, /*allow_special=*/true); }

 private:
  std::string bytes_;
};

}  // namespace deeprack::coordinator
