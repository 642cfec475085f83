// Random replies in every form, cut into tokens at random: every part of the known answer reaches the client,
// in the right place and order, and no other text does.
#include "gtest/gtest.h"
#include "tests/unit/api/reply_generator.h"

namespace deeprack::coordinator {
namespace {

constexpr ToolCallForm kForms[] = {ToolCallForm::kNone, ToolCallForm::kDeepSeekR1, ToolCallForm::kDeepSeekV31,
                                   ToolCallForm::kHermes};
constexpr int kReplies = 500;
constexpr int kCuts = 5;

TextOptions OptionsOf(const KnownReply& reply) {
  return {.format = reply.format, .reasoning = reply.start, .parse_tool_calls = true};
}

JoinedParts Joined(const std::vector<std::vector<TextDelta>>& deltas) {
  JoinedParts joined;
  for (const std::vector<TextDelta>& step : deltas) {
    for (const TextDelta& delta : step) joined.Add(delta);
  }
  return joined;
}

JoinedParts Known(const KnownReply& reply) {
  return {reply.reasoning, reply.content, reply.calls, reply.order};
}

// The part of a text that stands before the end of some character, so that no token has half a character.
std::string Beginning(const std::string& text, size_t size) {
  while (size < text.size() && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) ++size;
  return text.substr(0, size);
}

TEST(ReplyProperty, EveryCutGivesTheKnownAnswer) {
  for (const ToolCallForm form : kForms) {
    ReplyGenerator generator(1 + static_cast<uint32_t>(form));
    for (int i = 0; i < kReplies; ++i) {
      const KnownReply reply = generator.Reply(form);
      for (int cut = 0; cut < kCuts; ++cut) {
        CutTokenizer tokenizer;
        const std::vector<TokenId> ids = generator.Cut(reply.text, tokenizer);
        SequenceText text(&tokenizer, OptionsOf(reply));
        const JoinedParts joined = Joined(DeltasOf(text, ids));
        ASSERT_EQ(joined, Known(reply)) << reply.text;
        ASSERT_EQ(text.last_call_whole(), !reply.calls.empty());
      }
    }
  }
}

TEST(ReplyProperty, LogprobsJoinToTheTextOfTheirDelta) {
  for (const ToolCallForm form : kForms) {
    ReplyGenerator generator(11 + static_cast<uint32_t>(form));
    for (int i = 0; i < kReplies; ++i) {
      const KnownReply reply = generator.Reply(form);
      CutTokenizer tokenizer;
      const std::vector<TokenId> ids = generator.Cut(reply.text, tokenizer);
      TextOptions options = OptionsOf(reply);
      if (i % 2 == 1) options.stop = {"two", "€ ", "\n\n"};
      SequenceText text(&tokenizer, options);
      for (const std::vector<TextDelta>& step : DeltasOf(text, ids, /*logprobs=*/true)) {
        for (const TextDelta& delta : step) {
          std::string reasoning, content;
          for (const PlacedToken& token : delta.tokens) {
            if (token.place == TokenPlace::kReasoning) reasoning += token.text;
            if (token.place == TokenPlace::kContent) content += token.text;
          }
          ASSERT_EQ(reasoning, delta.reasoning) << reply.text;
          ASSERT_EQ(content, delta.content) << reply.text;
        }
      }
    }
  }
}

TEST(ReplyProperty, NothingOfACutReplyVanishes) {
  for (const ToolCallForm form : kForms) {
    ReplyGenerator generator(21 + static_cast<uint32_t>(form));
    for (int i = 0; i < kReplies; ++i) {
      KnownReply reply = generator.Reply(form);
      if (reply.text.empty()) continue;
      reply.text = Beginning(reply.text, generator.Below(reply.text.size()));
      std::optional<JoinedParts> first;
      for (int cut = 0; cut < kCuts; ++cut) {
        CutTokenizer tokenizer;
        const std::vector<TokenId> ids = generator.Cut(reply.text, tokenizer);
        // Every byte is in one piece.
        ReplyParser parser(reply.format, reply.start, /*read_calls=*/true);
        IncrementalDetokenizer detokenizer(&tokenizer);
        ReplyPieces pieces;
        for (const TokenId id : ids) {
          if (parser.IsMarker(id)) parser.OnText(detokenizer.Finish(), pieces);
          if (parser.IsMarker(id)) {
            parser.OnMarker(id, tokenizer.TokenBytes(id, /*show_special=*/true), pieces);
          } else {
            parser.OnText(detokenizer.Append(id), pieces);
          }
        }
        parser.OnText(detokenizer.Finish(), pieces);
        parser.Finish(pieces);
        ASSERT_EQ(pieces.TakeText(), tokenizer.Decode(ids, /*show_special=*/true));
        // The answer does not depend on the cut.
        SequenceText text(&tokenizer, OptionsOf(reply));
        const JoinedParts joined = Joined(DeltasOf(text, ids));
        if (first) {
          ASSERT_EQ(joined, *first) << reply.text;
        }
        first = joined;
      }
    }
  }
}

TEST(ReplyProperty, AStopStringCutsTheContentAtTheSamePlaceInEveryCut) {
  const std::vector<std::string> stops = {"STOP", "two", "\n\n", "ln", "b w", "€"};
  ReplyGenerator generator(31);
  for (int i = 0; i < kReplies; ++i) {
    const KnownReply reply = generator.Reply(ToolCallForm::kNone);
    TextOptions options = OptionsOf(reply);
    for (size_t n = 1 + generator.Below(3); n > 0; --n)
      options.stop.push_back(stops[generator.Below(stops.size())]);
    size_t begin = reply.content.npos, end = reply.content.npos;
    for (const std::string& stop : options.stop) {
      const size_t at = reply.content.find(stop);
      if (at == reply.content.npos || at + stop.size() > end || (at + stop.size() == end && at >= begin))
        continue;
      begin = at;
      end = at + stop.size();
    }
    options.include_stop = i % 2 == 0;
    for (int cut = 0; cut < kCuts; ++cut) {
      CutTokenizer tokenizer;
      const std::vector<TokenId> ids = generator.Cut(reply.text, tokenizer);
      SequenceText text(&tokenizer, options);
      const JoinedParts joined = Joined(DeltasOf(text, ids));
      ASSERT_EQ(joined.reasoning, reply.reasoning);
      ASSERT_EQ(joined.content, reply.content.substr(0, options.include_stop ? end : begin)) << reply.text;
      ASSERT_EQ(text.stopped(), begin != reply.content.npos);
    }
  }
}

}  // namespace
}  // namespace deeprack::coordinator
