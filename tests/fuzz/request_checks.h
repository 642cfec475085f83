// What the fuzz programs of request bodies share.
#pragma once

#include <memory>
#include <string>

#include "base/check.h"
#include "coordinator/api/api_error.h"
#include "coordinator/api/served_model.h"
#include "model/config/model_config.h"
#include "tests/source_tree.h"

namespace deeprack::coordinator {

// The demo model.
inline const ServedModel& Model() {
  static const std::shared_ptr<ServedModel> model = [] {
    const std::string folder = InSourceTree("demo/model");
    const auto config = model::ParseModelConfig(ReadTextFile(folder + "/config.json").value());
    return LoadServedModel({.path = folder}, *config).value();
  }();
  return *model;
}

// Fails unless the error is the client's and has a message.
inline void CheckError(const ApiError& error) {
  DR_CHECK(error.status >= 400 && error.status < 500 && !error.message.empty());
}

}  // namespace deeprack::coordinator
