#include "checkpoint/gguf_tensors.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/block_formats.h"
#include "base/message_text.h"
#include "base/status_macros.h"
#include "model/gguf/gguf_config.h"
#include "model/gguf/gguf_tensor_names.h"

namespace deeprack::checkpoint {
namespace {

int64_t Elements(const std::vector<int64_t>& shape) {
  int64_t elements = 1;  // cannot overflow: config and header have bounded the shapes
  for (const int64_t size : shape) elements *= size;
  return elements;
}

}  // namespace

absl::StatusOr<GgufTensors> GgufTensors::Open(const std::string& path) {
  DR_ASSIGN_OR_RETURN(model::GgufModel model, model::GgufModel::Open(path));
  DR_ASSIGN_OR_RETURN(const model::ModelConfig config, model::ConfigOf(model));
  GgufTensors tensors(std::move(model));
  DR_RETURN_IF_ERROR(tensors.FindAll(config, model::TensorsOf(config)));
  DR_RETURN_IF_ERROR(tensors.PassOverOthers(config));
  return tensors;
}

absl::Status GgufTensors::FindAll(const model::ModelConfig& config,
                                  const std::vector<model::TensorSpec>& specs) {
  for (const model::TensorSpec& spec : specs) {
    DR_ASSIGN_OR_RETURN(const model::GgufPlace place, model::PlaceInGguf(model_, config, spec));
    if (place.tensor == nullptr) continue;
    used_.insert(place.tensor);
    const model::GgufTensor& whole = *place.tensor;
    if (!whole.unread_type.empty()) {
      unread_[spec.name] = &whole;
      continue;
    }
    TensorView view{.dtype = whole.dtype, .shape = whole.shape, .bytes = model_.BytesOfTensor(whole)};
    if (place.is_part) {
      view.shape = spec.shape;
      view.bytes = view.bytes.subspan(static_cast<size_t>(BytesOf(whole.dtype, place.first_element)),
                                      static_cast<size_t>(BytesOf(whole.dtype, Elements(spec.shape))));
    } else if (whole.shape.back() == spec.shape.back() && Elements(whole.shape) == Elements(spec.shape)) {
      view.shape = spec.shape;  // the file may have a dimension for heads; the registry has [rows, cols]
    }
    total_bytes_ += static_cast<int64_t>(view.bytes.size());
    stored_[spec.name] = {.view = std::move(view), .whole = &whole};
  }
  return absl::OkStatus();
}

absl::Status GgufTensors::PassOverOthers(const model::ModelConfig& config) {
  for (const model::GgufTensor& tensor : model_.tensors()) {
    if (used_.contains(&tensor)) continue;
    if (!model::MayBeIgnored(tensor, config)) {
      return absl::InvalidArgumentError(absl::StrCat(
          model_.FileOf(tensor), ": tensor ", QuotedName(tensor.name), " ", ShapeText(tensor.shape),
          " is not known here and may change what the model computes: use a release that knows it"));
    }
    total_bytes_ += tensor.bytes;
    ignored_.push_back(tensor.name);
  }
  return absl::OkStatus();
}

const TensorView* GgufTensors::Find(const std::string& name) const {
  const auto found = stored_.find(name);
  return found == stored_.end() ? nullptr : &found->second.view;
}

std::string GgufTensors::UnreadType(const std::string& name) const {
  const auto found = unread_.find(name);
  return found == unread_.end() ? "" : found->second->unread_type;
}

std::string GgufTensors::FileOf(const std::string& name) const {
  if (const auto unread = unread_.find(name); unread != unread_.end()) return model_.FileOf(*unread->second);
  const auto found = stored_.find(name);
  return found == stored_.end() ? "" : model_.FileOf(*found->second.whole);
}

void GgufTensors::Prefetch(const std::string& name) const {
  const auto found = stored_.find(name);
  if (found != stored_.end()) model_.Prefetch(*found->second.whole, found->second.view.bytes);
}

std::vector<std::string> GgufTensors::names() const {
  std::vector<std::string> names = ignored_;
  for (const auto& [name, stored] : stored_) names.push_back(name);
  for (const auto& [name, tensor] : unread_) names.push_back(name);
  return names;
}

}  // namespace deeprack::checkpoint
