// A file with given bytes that only this process can open.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace deeprack {

class TemporaryFile {
 public:
  TemporaryFile(const uint8_t* data, size_t size);
  ~TemporaryFile();
  std::string path() const;

 private:
  int descriptor_;
};

}  // namespace deeprack
