// The inside of a tool call in the Hermes form: one JSON object with the name and the arguments, in either
// order. "parameters" is read as another name of "arguments". "id" and "type" are not shown. Other members
// before the name make the object no call; after the name they are content.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "coordinator/chat/call_reader.h"
#include "coordinator/chat/json_extent.h"

namespace deeprack::coordinator {

class HermesCall final : public CallReader {
 public:
  bool OnText(std::string_view text, ReplyPieces& out) override;
  bool OnSeparator(std::string_view marker, ReplyPieces& out) override { return OnText(marker, out); }
  bool Finish(bool closed, ReplyPieces& out) override;
  bool named() const override { return named_; }
  bool in_string() const override { return InString(); }
  bool whole() const override { return whole_; }

 private:
  enum class Stage : uint8_t {
    kOpen,     // before '{'
    kKey,      // before a member's name or '}'
    kInKey,    // in a member's name
    kColon,    // before ':'
    kBefore,   // before a member's value
    kValue,    // in a member's value
    kNext,     // after a member: before ',' or '}'
    kAfter,    // after '}'
    kContent,  // after text that is not part of the call
  };
  enum class Member : uint8_t { kName, kArguments, kHidden, kOther };

  // Takes one byte. False: the byte does not belong to a call's object.
  bool Take(char byte, ReplyPieces& out);
  bool InKey(char byte, ReplyPieces& out);
  bool BeginValue(char byte, ReplyPieces& out);
  bool Value(char byte, ReplyPieces& out);
  bool EndName(ReplyPieces& out);
  void GiveArguments(std::string_view text, ReplyPieces& out);
  bool InString() const {
    return stage_ == Stage::kInKey || (stage_ == Stage::kValue && extent_.in_string());
  }
  // The place of text that is neither name nor arguments.
  ReplyPlace PlaceOfRest() const {
    return member_ == Member::kOther ? ReplyPlace::kContent : ReplyPlace::kFrame;
  }

  Stage stage_ = Stage::kOpen;
  Member member_ = Member::kHidden;
  JsonExtent extent_;            // of the member's name or value
  bool bracketed_ = false;       // the value is an object, an array or a string
  std::string text_;             // of the member's name, or of the value of "name"
  std::string early_arguments_;  // arguments that came before the name
  bool named_ = false, has_arguments_ = false, whole_ = false;
};

}  // namespace deeprack::coordinator
