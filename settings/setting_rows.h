// What the files with rows of the table share.
#pragma once

#include <cstdint>
#include <vector>

#include "settings/setting.h"

namespace deeprack {

constexpr uint8_t kServe = static_cast<uint8_t>(Program::kServe);
constexpr uint8_t kCoordinator = static_cast<uint8_t>(Program::kCoordinator);
constexpr uint8_t kWorker = static_cast<uint8_t>(Program::kWorker);
constexpr uint8_t kAll = kServe | kCoordinator | kWorker;

constexpr double kDay = 86400;  // seconds

using Rows = std::vector<Setting>;

Rows HttpRows();

}  // namespace deeprack
