// The inside of a tool call in DeepSeek's forms: R1's "function<sep>NAME\n```json\n{...}\n```", and V3.1's
// "NAME<sep>{...}". Each form is also read with or without the fence. Text after complete arguments is
// content.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "coordinator/chat/call_reader.h"
#include "coordinator/chat/json_extent.h"

namespace deeprack::coordinator {

class DeepSeekCall final : public CallReader {
 public:
  // `typed`: R1's form, in which the call's type comes before the separator and the name after it.
  explicit DeepSeekCall(bool typed) : typed_(typed) {}

  bool OnText(std::string_view text, ReplyPieces& out) override;
  bool OnSeparator(std::string_view marker, ReplyPieces& out) override;
  bool Finish(bool closed, ReplyPieces& out) override;
  bool named() const override { return stage_ >= Stage::kArguments; }
  bool in_string() const override { return stage_ == Stage::kArguments && extent_.in_string(); }
  bool whole() const override { return whole_; }

 private:
  enum class Stage : uint8_t {
    kHeader,     // before the separator
    kName,       // R1: the line with the name
    kFence,      // between the name and the arguments
    kArguments,  // in the arguments
    kAfter,      // after complete arguments
    kContent,    // after text that is not part of the call
  };

  // Each takes one byte. False: this is no call.
  bool Header(char byte, ReplyPieces& out);
  bool Name(char byte, ReplyPieces& out);
  bool Fence(char byte, ReplyPieces& out);
  void Argument(char byte, ReplyPieces& out);
  void After(char byte, ReplyPieces& out);

  bool GiveName(ReplyPieces& out);
  void GiveArguments(std::string_view text, ReplyPieces& out);

  const bool typed_;
  Stage stage_ = Stage::kHeader;
  std::string held_;     // text whose meaning is not certain yet
  JsonExtent extent_;    // of the arguments
  bool json_ = false;    // the arguments begin as a JSON object or array
  bool fenced_ = false;  // "```json" came before the arguments
  bool given_ = false;   // some arguments were given out
  bool whole_ = false;
};

}  // namespace deeprack::coordinator
