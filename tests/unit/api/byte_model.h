// A served model for tests whose tokens are bytes.
#pragma once

#include <memory>
#include <utility>

#include "coordinator/api/served_model.h"
#include "tests/unit/chat/byte_tokenizer.h"

namespace deeprack::coordinator {

inline std::shared_ptr<ServedModel> MakeByteModel(
    int32_t max_context = 512, bool ignore_unknown_fields = false,
    ReasoningField reasoning_field = ReasoningField::kReasoningContent) {
  auto model = std::make_shared<ServedModel>();
  model->name = "bytes";
  auto tokenizer = std::make_unique<ByteTokenizer>();
  model->chat_template = *ChatTemplate::Create(tokenizer.get());
  model->vocab_size = tokenizer->vocab_size();
  model->tokenizer = std::move(tokenizer);
  model->defaults.temperature = 0.6f;
  model->defaults.top_p = 0.95f;
  model->eos_token_ids = {ByteTokenizer::kEos};
  model->bos_token_id = ByteTokenizer::kBos;
  model->max_context = max_context;
  model->ignore_unknown_fields = ignore_unknown_fields;
  model->reasoning_field = reasoning_field;
  model->vocabulary = *constraint::Vocabulary::Make(TokenTexts(*model), model->vocab_size, model->eos_token_ids);
  return model;
}

}  // namespace deeprack::coordinator
