// Random replies in every form, cut into tokens at random: the content blocks have every part of the known
// answer, in the right block and order.
#include "coordinator/api/anthropic/answer_blocks.h"
#include "gtest/gtest.h"
#include "tests/unit/api/reply_generator.h"

namespace deeprack::coordinator {
namespace {

using anthropic::AnswerBlocks;
using anthropic::BlockEvent;
using anthropic::BlockKind;

// Joins the blocks' texts. Checks that each block starts, gets its texts and stops before the next one
// starts.
class BlockReader {
 public:
  void Take(const std::vector<BlockEvent>& events) {
    for (const BlockEvent& event : events) Take(event);
  }

  const JoinedParts& parts() const { return parts_; }
  bool open() const { return open_; }

 private:
  void Take(const BlockEvent& event) {
    if (event.type == BlockEvent::Type::kStop) {
      EXPECT_TRUE(open_);
      open_ = false;
    } else if (event.type == BlockEvent::Type::kStart) {
      EXPECT_FALSE(open_);
      EXPECT_EQ(event.index, blocks_++);
      open_ = true;
      if (event.kind == BlockKind::kText) parts_.order += 'c';
      if (event.kind != BlockKind::kToolUse) return;
      parts_.order += 't';
      parts_.calls.emplace_back(event.text, "");
    } else {
      EXPECT_TRUE(open_);
      EXPECT_EQ(event.index, blocks_ - 1);
      if (event.kind == BlockKind::kThinking) parts_.reasoning += event.text;
      if (event.kind == BlockKind::kText) parts_.content += event.text;
      if (event.kind == BlockKind::kToolUse) parts_.calls.back().second += event.text;
    }
  }

  JoinedParts parts_;
  int32_t blocks_ = 0;
  bool open_ = false;
};

TEST(ReplyBlocks, HaveTheKnownAnswerWhateverTheCut) {
  for (const ToolCallForm form :
       {ToolCallForm::kNone, ToolCallForm::kDeepSeekR1, ToolCallForm::kDeepSeekV31, ToolCallForm::kHermes}) {
    ReplyGenerator generator(41 + static_cast<uint32_t>(form));
    for (int i = 0; i < 500; ++i) {
      const KnownReply reply = generator.Reply(form);
      for (int cut = 0; cut < 5; ++cut) {
        CutTokenizer tokenizer;
        const std::vector<TokenId> ids = generator.Cut(reply.text, tokenizer);
        SequenceText text(&tokenizer,
                          {.format = reply.format, .reasoning = reply.start, .parse_tool_calls = true});
        AnswerBlocks blocks;
        BlockReader reader;
        for (const std::vector<TextDelta>& step : DeltasOf(text, ids)) {
          for (const TextDelta& delta : step) reader.Take(blocks.Add(delta));
        }
        reader.Take(blocks.Finish());
        ASSERT_FALSE(reader.open());
        const JoinedParts known = {reply.reasoning, reply.content, reply.calls, reply.order};
        ASSERT_EQ(reader.parts(), known) << reply.text;
      }
    }
  }
}

}  // namespace
}  // namespace deeprack::coordinator
