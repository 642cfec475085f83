#include "coordinator/chat/call_reader.h"

#include "coordinator/chat/deepseek_call.h"
#include "coordinator/chat/hermes_call.h"

namespace deeprack::coordinator {

std::unique_ptr<CallReader> MakeCallReader(ToolCallForm form) {
  if (form == ToolCallForm::kHermes) return std::make_unique<HermesCall>();
  return std::make_unique<DeepSeekCall>(/*typed=*/form == ToolCallForm::kDeepSeekR1);
}

}  // namespace deeprack::coordinator
