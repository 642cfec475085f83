// `deeprack chat`: a conversation in the terminal, or one question a line from a pipe.
#pragma once

#include <string>

namespace deeprack::cli {

struct ChatOptions {
  std::string url = "http://127.0.0.1:8000";
  std::string model;  // "": the first that the server names
};

// Runs until /quit, the end of input, or Ctrl-C at the prompt. Returns the exit code: 0, or that of the last
// question's error.
int Chat(const ChatOptions& options);

}  // namespace deeprack::cli
