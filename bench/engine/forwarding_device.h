// A device that forwards every call to another device. Base class of devices that change a few calls.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "worker/device/device.h"

namespace deeprack::bench {

class ForwardingDevice : public worker::Device {
 public:
  explicit ForwardingDevice(std::unique_ptr<worker::Device> device) : device_(std::move(device)) {}

  std::string_view backend() const override { return device_->backend(); }
  std::string description() const override { return device_->description(); }
  const kernels::KernelSet& kernels() const override { return device_->kernels(); }
  const kernels::Execution& execution() const override { return device_->execution(); }
  bool shares_host_memory() const override { return device_->shares_host_memory(); }
  uint64_t memory_identity() const override { return device_->memory_identity(); }
  int64_t AvailableBytes() const override { return device_->AvailableBytes(); }
  absl::StatusOr<worker::Memory> Allocate(const std::string& purpose, int64_t bytes) override {
    return device_->Allocate(purpose, bytes);
  }
  absl::StatusOr<worker::Memory> AllocateStaging(const std::string& purpose, int64_t bytes) override {
    return device_->AllocateStaging(purpose, bytes);
  }
  absl::StatusOr<worker::Memory> AllocateForPeers(const std::string& purpose, int64_t bytes) override {
    return device_->AllocateForPeers(purpose, bytes);
  }
  absl::StatusOr<worker::PeerTicket> TicketOf(const worker::Memory& memory) override {
    return device_->TicketOf(memory);
  }
  absl::StatusOr<worker::Memory> OpenPeerMemory(const worker::PeerTicket& ticket) override {
    return device_->OpenPeerMemory(ticket);
  }
  absl::Status CopyIn(void* to, const void* from, int64_t bytes) override {
    return device_->CopyIn(to, from, bytes);
  }
  absl::Status CopyOut(void* to, const void* from, int64_t bytes) override {
    return device_->CopyOut(to, from, bytes);
  }
  absl::Status CopyWithin(void* to, const void* from, int64_t bytes) override {
    return device_->CopyWithin(to, from, bytes);
  }
  bool records_graphs() const override { return device_->records_graphs(); }
  absl::StatusOr<std::unique_ptr<worker::Graph>> Record(const std::function<absl::Status()>& queue) override {
    return device_->Record(queue);
  }
  absl::Status Synchronize() override { return device_->Synchronize(); }

 protected:
  worker::Device& inner() const { return *device_; }

 private:
  const std::unique_ptr<worker::Device> device_;
};

}  // namespace deeprack::bench
