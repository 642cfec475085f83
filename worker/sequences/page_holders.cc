#include "worker/sequences/page_holders.h"

#include "base/check.h"

namespace deeprack::worker {

bool PageHolders::AddWriter(BlockId page) {
  int32_t& holders = holders_[static_cast<size_t>(page)];
  if (holders != 0) return false;
  holders = kWritten;
  return true;
}

bool PageHolders::AddReader(BlockId page) {
  int32_t& holders = holders_[static_cast<size_t>(page)];
  if (holders == kWritten) return false;
  ++holders;
  return true;
}

void PageHolders::RemoveWriter(BlockId page) {
  int32_t& holders = holders_[static_cast<size_t>(page)];
  DR_CHECK(holders == kWritten);
  holders = 0;
}

void PageHolders::RemoveReader(BlockId page) {
  int32_t& holders = holders_[static_cast<size_t>(page)];
  DR_CHECK(holders > 0);
  --holders;
}

void PageHolders::WriterBecomesReader(BlockId page) {
  RemoveWriter(page);
  DR_CHECK(AddReader(page));
}

}  // namespace deeprack::worker
