#include "coordinator/chat/deepseek_call.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace deeprack::coordinator {
namespace {

constexpr absl::string_view kFenceMark = "```";
constexpr size_t kMaxLanguageBytes = 16;

absl::string_view Stripped(absl::string_view text) { return absl::StripAsciiWhitespace(text); }

// "```", a language in letters, and a blank, with blanks before.
enum class FenceMatch : uint8_t { kPart, kWhole, kNone };

FenceMatch MatchFence(absl::string_view text) {
  text = absl::StripLeadingAsciiWhitespace(text);
  for (const char mark : kFenceMark) {
    if (text.empty()) return FenceMatch::kPart;
    if (text.front() != mark) return FenceMatch::kNone;
    text.remove_prefix(1);
  }
  if (text.size() > kMaxLanguageBytes) return FenceMatch::kNone;
  for (const char byte : text) {
    if (absl::ascii_isspace(byte)) return FenceMatch::kWhole;
    if (!absl::ascii_isalpha(byte)) return FenceMatch::kNone;
  }
  return FenceMatch::kPart;
}

}  // namespace

bool DeepSeekCall::OnText(std::string_view text, ReplyPieces& out) {
  for (size_t i = 0; i < text.size(); ++i) {
    const char byte = text[i];
    bool is_call = true;
    switch (stage_) {
      case Stage::kHeader:
        is_call = Header(byte, out);
        break;
      case Stage::kName:
        is_call = Name(byte, out);
        break;
      case Stage::kFence:
        is_call = Fence(byte, out);
        break;
      case Stage::kArguments:
        Argument(byte, out);
        break;
      case Stage::kAfter:
        After(byte, out);
        break;
      case Stage::kContent:
        out.Add(ReplyPlace::kContent, text.substr(i));
        return true;
    }
    if (is_call) continue;
    held_.append(text.substr(i + 1));
    out.Add(ReplyPlace::kFrame, held_);
    held_.clear();
    return false;
  }
  return true;
}

bool DeepSeekCall::OnSeparator(std::string_view marker, ReplyPieces& out) {
  if (stage_ != Stage::kHeader) return OnText(marker, out);
  if (typed_) {
    out.Add(ReplyPlace::kFrame, held_);
    held_.clear();
    out.Add(ReplyPlace::kMarker, marker);
    stage_ = Stage::kName;
    return true;
  }
  const bool has_name = GiveName(out);
  out.Add(ReplyPlace::kMarker, marker);
  stage_ = Stage::kFence;
  return has_name;
}

bool DeepSeekCall::Finish(bool closed, ReplyPieces& out) {
  const std::string held = std::move(held_);
  held_.clear();
  const absl::string_view left = Stripped(held);
  whole_ = closed || stage_ >= Stage::kAfter;
  switch (stage_) {
    case Stage::kHeader:
    case Stage::kName:
      out.Add(ReplyPlace::kFrame, held);
      return false;
    case Stage::kFence:
      out.Add(ReplyPlace::kFrame, held);
      // R1's form has a fence. V3.1 may leave out the arguments. A reply may be cut before the arguments.
      if (closed && (typed_ || !left.empty())) return false;
      if (closed) out.Add(ReplyPlace::kCallArguments, "", "{}");
      stage_ = Stage::kArguments;
      return true;
    case Stage::kArguments:
      if (left.empty() || (fenced_ && absl::StartsWith(kFenceMark, left))) {
        out.Add(ReplyPlace::kFrame, held);
      } else {
        GiveArguments(held, out);
      }
      if (closed && !given_) out.Add(ReplyPlace::kCallArguments, "", "{}");
      return true;
    case Stage::kAfter:
      out.Add(absl::StartsWith(kFenceMark, left) ? ReplyPlace::kFrame : ReplyPlace::kContent, held);
      return true;
    case Stage::kContent:
      return true;
  }
  return true;
}

bool DeepSeekCall::Header(char byte, ReplyPieces&) {
  held_ += byte;
  return held_.size() <= kMaxCallNameBytes;
}

bool DeepSeekCall::Name(char byte, ReplyPieces& out) {
  if (byte != '\n') {
    held_ += byte;
    return held_.size() <= kMaxCallNameBytes;
  }
  const bool has_name = GiveName(out);
  held_.assign(1, byte);
  stage_ = Stage::kFence;
  return has_name;
}

bool DeepSeekCall::Fence(char byte, ReplyPieces& out) {
  if ((byte == '{' || byte == '[') && Stripped(held_).empty()) {
    out.Add(ReplyPlace::kFrame, held_);
    held_.clear();
    stage_ = Stage::kArguments;
    Argument(byte, out);
    return true;
  }
  held_ += byte;
  switch (MatchFence(held_)) {
    case FenceMatch::kPart:
      return true;
    case FenceMatch::kNone:
      return false;
    case FenceMatch::kWhole:
      break;
  }
  out.Add(ReplyPlace::kFrame, held_);
  held_.clear();
  fenced_ = true;
  stage_ = Stage::kArguments;
  return true;
}

void DeepSeekCall::Argument(char byte, ReplyPieces& out) {
  if (!extent_.in_string() && (absl::ascii_isspace(byte) || (fenced_ && byte == '`'))) {
    held_ += byte;  // blanks and a fence at the end are not part of the arguments
    return;
  }
  if (!given_ && Stripped(held_).empty()) {
    out.Add(ReplyPlace::kFrame, held_);
    held_.clear();
    json_ = byte == '{' || byte == '[';
  }
  GiveArguments(held_ + byte, out);
  held_.clear();
  if (!json_) return;
  extent_.Take(byte);
  if (extent_.complete()) stage_ = Stage::kAfter;
}

void DeepSeekCall::After(char byte, ReplyPieces& out) {
  held_ += byte;
  if (absl::ascii_isspace(byte) || byte == '`') return;
  out.Add(ReplyPlace::kContent, held_);
  held_.clear();
  stage_ = Stage::kContent;
}

bool DeepSeekCall::GiveName(ReplyPieces& out) {
  const absl::string_view name = Stripped(held_);
  const bool has_name = !name.empty() && name.find('\n') == name.npos;
  if (has_name) {
    out.Add(ReplyPlace::kCallName, held_, std::string_view(name.data(), name.size()));
  } else {
    out.Add(ReplyPlace::kFrame, held_);
  }
  held_.clear();
  return has_name;
}

void DeepSeekCall::GiveArguments(std::string_view text, ReplyPieces& out) {
  out.Add(ReplyPlace::kCallArguments, text);
  given_ = true;
}

}  // namespace deeprack::coordinator
