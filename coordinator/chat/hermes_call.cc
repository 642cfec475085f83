#include "coordinator/chat/hermes_call.h"

#include <optional>

#include "absl/strings/ascii.h"
#include "nlohmann/json.hpp"

namespace deeprack::coordinator {
namespace {

// The text of a JSON string. nullopt: `json` is not a string.
std::optional<std::string> StringOf(const std::string& json) {
  const auto value = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!value.is_string()) return std::nullopt;
  return value.get<std::string>();
}

}  // namespace

bool HermesCall::OnText(std::string_view text, ReplyPieces& out) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (stage_ == Stage::kContent) {
      out.Add(ReplyPlace::kContent, text.substr(i));
      return true;
    }
    if (Take(text[i], out)) continue;
    out.Add(ReplyPlace::kContent, text_);  // empty once the name was given out
    text_.clear();
    out.Add(ReplyPlace::kContent, text.substr(i));
    stage_ = Stage::kContent;
    return named_;
  }
  return true;
}

bool HermesCall::Finish(bool closed, ReplyPieces& out) {
  if (!named_) {
    out.Add(ReplyPlace::kFrame, text_);
    text_.clear();
    return false;
  }
  whole_ = closed || stage_ >= Stage::kAfter;
  if (!has_arguments_ && whole_) out.Add(ReplyPlace::kCallArguments, "", "{}");
  // A member's name that is cut stays a part of the call's frame.
  out.Add(ReplyPlace::kFrame, text_);
  text_.clear();
  return true;
}

bool HermesCall::Take(char byte, ReplyPieces& out) {
  if (stage_ == Stage::kInKey) return InKey(byte, out);
  if (stage_ == Stage::kValue) return Value(byte, out);
  if (absl::ascii_isspace(byte)) {
    out.Add(ReplyPlace::kFrame, std::string_view(&byte, 1));
    return true;
  }
  switch (stage_) {
    case Stage::kOpen:
      if (byte != '{') return false;
      stage_ = Stage::kKey;
      break;
    case Stage::kKey:
    case Stage::kNext:
      if (byte == '}') {
        if (!named_) return false;
        stage_ = Stage::kAfter;
      } else if (stage_ == Stage::kNext) {
        if (byte != ',') return false;
        stage_ = Stage::kKey;
      } else {
        if (byte != '"') return false;
        extent_ = JsonExtent();
        text_.clear();
        stage_ = Stage::kInKey;
        return InKey(byte, out);
      }
      break;
    case Stage::kColon:
      if (byte != ':') return false;
      out.Add(PlaceOfRest(), std::string_view(&byte, 1));
      stage_ = Stage::kBefore;
      return true;
    case Stage::kBefore:
      return BeginValue(byte, out);
    default:
      return false;
  }
  out.Add(ReplyPlace::kFrame, std::string_view(&byte, 1));
  return true;
}

bool HermesCall::InKey(char byte, ReplyPieces& out) {
  if (text_.size() >= kMaxCallNameBytes) return false;
  text_ += byte;
  extent_.Take(byte);
  if (!extent_.complete()) return true;
  if (text_ == "\"name\"" && !named_) {
    member_ = Member::kName;
  } else if ((text_ == "\"arguments\"" || text_ == "\"parameters\"") && !has_arguments_) {
    member_ = Member::kArguments;
  } else {
    member_ = text_ == "\"id\"" || text_ == "\"type\"" ? Member::kHidden : Member::kOther;
    if (member_ == Member::kOther && !named_) {
      text_.pop_back();
      return false;
    }
  }
  out.Add(PlaceOfRest(), text_);
  text_.clear();
  stage_ = Stage::kColon;
  return true;
}

bool HermesCall::BeginValue(char byte, ReplyPieces& out) {
  extent_ = JsonExtent();
  bracketed_ = byte == '{' || byte == '[' || byte == '"';
  if (member_ == Member::kName && byte != '"') return false;
  if (byte == ',' || byte == '}' || byte == ']') return false;
  if (member_ == Member::kArguments) has_arguments_ = true;
  stage_ = Stage::kValue;
  return Value(byte, out);
}

bool HermesCall::Value(char byte, ReplyPieces& out) {
  // A number or a word ends before the byte that follows.
  if (!bracketed_ && (absl::ascii_isspace(byte) || byte == ',' || byte == '}')) {
    stage_ = Stage::kNext;
    return Take(byte, out);
  }
  if (member_ == Member::kName) {
    if (text_.size() > kMaxCallNameBytes) return false;
    text_ += byte;
  } else if (member_ == Member::kArguments) {
    GiveArguments(std::string_view(&byte, 1), out);
  } else {
    out.Add(PlaceOfRest(), std::string_view(&byte, 1));
  }
  if (!bracketed_) return true;
  extent_.Take(byte);
  if (!extent_.complete()) return true;
  stage_ = Stage::kNext;
  return member_ != Member::kName || EndName(out);
}

bool HermesCall::EndName(ReplyPieces& out) {
  const std::optional<std::string> name = StringOf(text_);
  if (!name || name->empty()) {
    text_.pop_back();
    return false;
  }
  out.Add(ReplyPlace::kCallName, text_, *name);
  text_.clear();
  named_ = true;
  out.Add(ReplyPlace::kCallArguments, "", early_arguments_);
  early_arguments_.clear();
  return true;
}

void HermesCall::GiveArguments(std::string_view text, ReplyPieces& out) {
  if (named_) {
    out.Add(ReplyPlace::kCallArguments, text);
    return;
  }
  early_arguments_ += text;
  out.Add(ReplyPlace::kFrame, text);
}

}  // namespace deeprack::coordinator
