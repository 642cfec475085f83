// Turns the messages of a Messages request into the messages of a chat prompt.
//
// - A user's tool_result blocks become tool messages, in the order of the calls that they answer. The text of
//   the same message follows as a user's message.
// - Messages of one role in a row become one message: many templates demand that the roles alternate.
// - A system message within the conversation joins the message before. After an assistant's message the
//   system message becomes a user's message. So the prompt of a longer conversation begins with the prompt of
//   the shorter one, which the prefix cache then serves. In front of all messages a system message joins the
//   system text.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "coordinator/api/anthropic/content_blocks.h"

namespace deeprack::coordinator::anthropic {

class Conversation {
 public:
  void AddSystem(const MessageContent& content);
  void AddUser(MessageContent content);
  void AddAssistant(MessageContent content);

  // True if the last message is an assistant's, whose text the answer continues.
  bool ends_with_assistant() const;

  // Marks a last message of the assistant as the answer's beginning. An empty last message is dropped.
  std::vector<ChatMessage> Finish() &&;

 private:
  void AddUserText(std::string text);

  std::vector<ChatMessage> messages_;
  std::map<std::string, std::string> tool_names_;  // by the id of the call
};

}  // namespace deeprack::coordinator::anthropic
