#include "cli/load/prompt_text.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "cli/load/draws.h"

namespace deeprack::cli {
namespace {

// Short words that tokenizers of any make know.
constexpr const char* kWords[] = {
    "time",   "year",  "people", "way",   "day",   "man",   "thing", "woman",  "life",  "child", "world",
    "school", "state", "house",  "word",  "night", "water", "home",  "room",   "money", "story", "fact",
    "month",  "right", "study",  "book",  "eye",   "job",   "side",  "kind",   "head",  "line",  "city",
    "group",  "land",  "team",   "name",  "idea",  "body",  "road",  "door",   "car",   "light", "voice",
    "mind",   "food",  "law",    "power", "hour",  "game",  "end",   "hand",   "part",  "place", "case",
    "week",   "point", "area",   "blue",  "red",   "new",   "old",   "high",   "small", "large", "next",
    "early",  "young", "good",   "first", "last",  "long",  "great", "own",    "other", "late",  "hard",
    "major",  "real",  "best",   "free",  "able",  "human", "local", "sure",   "clear", "white", "hold",
    "bring",  "write", "stand",  "set",   "learn", "lead",  "watch", "follow", "stop",  "speak", "read",
    "spend",  "grow",  "open",   "walk",  "win",   "teach", "offer", "love",   "think", "buy",   "wait",
    "serve",  "send",  "build",  "stay",  "fall",  "cut",   "reach", "carry",  "raise", "pass",  "sell",
    "need",   "feel",  "seem",   "help",  "show",  "hear",  "play",  "run",    "move",  "live",  "find"};

}  // namespace

TokenScale MeasureScale(int64_t words1, int64_t tokens1, int64_t words2, int64_t tokens2) {
  const double per_word = static_cast<double>(tokens2 - tokens1) / static_cast<double>(words2 - words1);
  if (!(per_word > 0)) return {};
  return {
      .tokens_per_word = per_word,
      .tokens_around = std::max(0.0, static_cast<double>(tokens1) - per_word * static_cast<double>(words1)),
      .measured = true};
}

std::string Words(uint64_t id, int64_t words) {
  Draws draws(id);
  std::string text;
  for (int64_t i = 0; i < words; ++i) {
    if (i > 0) text.push_back(' ');
    text += kWords[draws.Below(std::size(kWords))];
  }
  return text;
}

std::string TextOf(const std::vector<TextPart>& parts, const TokenScale& scale, double tokens_around) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    const double around = i + 1 == parts.size() ? tokens_around : 0;
    const double words = (static_cast<double>(parts[i].tokens) - around) / scale.tokens_per_word;
    if (!text.empty()) text.push_back(' ');
    text += Words(parts[i].id, std::max<int64_t>(1, std::llround(words)));
  }
  return text;
}

}  // namespace deeprack::cli
