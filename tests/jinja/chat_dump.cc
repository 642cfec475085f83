// Prints the token ids of chats, for the comparison with jinja2 and the `tokenizers` package
// (test_chat_ids.py).
//   chat_dump TOKENIZER_JSON TOKENIZER_CONFIG < requests > answers
// A request is a line of JSON, {"messages", "tools", "add_generation_prompt", "variables"}. The answer is the
// line
// {"ids": [...], "corrected": bool}, or {"error": "..."}.
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "coordinator/chat/chat_template.h"

namespace {

using namespace deeprack::coordinator;
using Json = nlohmann::ordered_json;

ChatMessage MessageFrom(const Json& json) {
  const std::string role = json["role"];
  ChatMessage message;
  message.role = role == "system"      ? ChatRole::kSystem
                 : role == "user"      ? ChatRole::kUser
                 : role == "assistant" ? ChatRole::kAssistant
                                       : ChatRole::kTool;
  if (!json["content"].is_null()) message.content = json["content"];
  if (json.contains("reasoning_content")) message.reasoning = json["reasoning_content"];
  if (json.contains("name")) message.name = json["name"];
  message.tool_call_id = json.value("tool_call_id", "");
  for (const Json& call : json.value("tool_calls", Json::array())) {
    message.tool_calls.push_back({.id = call["id"],
                                  .type = call["type"],
                                  .name = call["function"]["name"],
                                  .arguments = call["function"]["arguments"]});
  }
  return message;
}

ChatPrompt PromptFrom(const Json& json) {
  ChatPrompt prompt{.add_generation_prompt = json["add_generation_prompt"],
                    .template_kwargs = json["variables"].dump()};
  for (const Json& message : json["messages"]) prompt.messages.push_back(MessageFrom(message));
  if (json["tools"].is_array()) {
    for (const Json& tool : json["tools"]) prompt.tools.push_back(tool["function"].dump());
  }
  return prompt;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: chat_dump TOKENIZER_JSON TOKENIZER_CONFIG < requests > answers\n";
    return 64;
  }
  const auto tokenizer = Tokenizer::Load(argv[1]);
  std::ifstream file(argv[2]);
  const std::string config((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const auto found = FindChatTemplate(config, "");
  if (!tokenizer.ok() || !found.ok()) {
    std::cerr << tokenizer.status() << "\n" << found.status() << "\n";
    return 65;
  }
  const auto chat = ChatTemplate::Create(tokenizer->get(), *found);
  if (!chat.ok()) {
    std::cerr << chat.status() << "\n";
    return 65;
  }
  std::ios::sync_with_stdio(false);
  std::string line;
  while (std::getline(std::cin, line)) {
    const auto rendered = chat->Render(PromptFrom(Json::parse(line)));
    const Json answer = rendered.ok() ? Json{{"ids", rendered->ids}, {"corrected", chat->is_corrected()}}
                                      : Json{{"error", std::string(rendered.status().message())}};
    std::cout << answer.dump() << '\n';
  }
  return 0;
}
