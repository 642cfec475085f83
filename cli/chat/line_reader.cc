#include "cli/chat/line_reader.h"

#include <cstdio>
#include <cstdlib>
#include <memory>

namespace deeprack::cli {

std::optional<std::string> ReadInputLine() {
  char* buffer = nullptr;
  size_t capacity = 0;
  const ssize_t size = getline(&buffer, &capacity, stdin);
  const std::unique_ptr<char, decltype(&std::free)> owner(buffer, &std::free);
  if (size < 0) return std::nullopt;
  std::string line(buffer, static_cast<size_t>(size));
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
  return line;
}

}  // namespace deeprack::cli
