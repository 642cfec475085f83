#include "worker/topology/nvml_cards.h"

#include <dlfcn.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace deeprack::worker {
namespace {

// The part of NVML's binary interface that is used here. nvml.h is not needed to build.
using Return = int;  // 0: success
using CardHandle = void*;
struct CardMemory {
  unsigned long long total, free, used;  // NOLINT(google-runtime-int): as NVML declares them
};
struct CardPlace {
  char bus_of_old_drivers[16];
  unsigned int domain, bus, device, device_id, subsystem_id;
  char bus_id[32];
};
constexpr int kOverNvlink = 2;  // NVML_P2P_CAPS_INDEX_NVLINK
constexpr int kReachable = 0;   // NVML_P2P_STATUS_OK
constexpr unsigned int kTextBytes = 96;

// The functions of the loaded library.
struct Nvml {
  Return (*init)();
  Return (*shutdown)();
  const char* (*error_text)(Return);
  Return (*count)(unsigned int*);
  Return (*card)(unsigned int, CardHandle*);
  Return (*name)(CardHandle, char*, unsigned int);
  Return (*uuid)(CardHandle, char*, unsigned int);
  Return (*memory)(CardHandle, CardMemory*);
  Return (*place)(CardHandle, CardPlace*);
  Return (*reach)(CardHandle, CardHandle, int, int*);

  absl::Status Check(Return result, const char* doing) const {
    if (result == 0) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat("NVML, ", doing, ": ", error_text(result)));
  }
};

struct CloseLibrary {
  void operator()(void* library) const { dlclose(library); }
};
using Library = std::unique_ptr<void, CloseLibrary>;

absl::StatusOr<Nvml> FunctionsOf(void* library, const std::string& file) {
  Nvml nvml = {};
  absl::Status missing;
  const auto find = [&](const char* symbol, auto& function) {
    void* const found = dlsym(library, symbol);
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(found);
    if (found == nullptr && missing.ok()) {
      missing = absl::FailedPreconditionError(absl::StrCat(file, " has no function ", symbol));
    }
  };
  find("nvmlInit_v2", nvml.init);
  find("nvmlShutdown", nvml.shutdown);
  find("nvmlErrorString", nvml.error_text);
  find("nvmlDeviceGetCount_v2", nvml.count);
  find("nvmlDeviceGetHandleByIndex_v2", nvml.card);
  find("nvmlDeviceGetName", nvml.name);
  find("nvmlDeviceGetUUID", nvml.uuid);
  find("nvmlDeviceGetMemoryInfo", nvml.memory);
  find("nvmlDeviceGetPciInfo_v3", nvml.place);
  find("nvmlDeviceGetP2PStatus", nvml.reach);
  DR_RETURN_IF_ERROR(missing);
  return nvml;
}

// -1: the system does not say.
int32_t NumaNodeOf(const CardPlace& place) {
  // sysfs writes four digits of the domain, or more where it needs more.
  const std::string path = absl::StrCat("/sys/bus/pci/devices/", absl::Hex(place.domain, absl::kZeroPad4),
                                        ":", absl::Hex(place.bus, absl::kZeroPad2), ":",
                                        absl::Hex(place.device, absl::kZeroPad2), ".0/numa_node");
  std::ifstream file(path);
  int32_t node = -1;
  return file >> node ? node : -1;
}

absl::StatusOr<CardReport> ReadCard(const Nvml& nvml, CardHandle card) {
  char name[kTextBytes] = {}, uuid[kTextBytes] = {};
  CardMemory memory = {};
  CardPlace place = {};
  DR_RETURN_IF_ERROR(nvml.Check(nvml.name(card, name, kTextBytes), "asking for a card's name"));
  DR_RETURN_IF_ERROR(nvml.Check(nvml.uuid(card, uuid, kTextBytes), "asking for a card's UUID"));
  DR_RETURN_IF_ERROR(nvml.Check(nvml.memory(card, &memory), "asking for a card's memory"));
  DR_RETURN_IF_ERROR(nvml.Check(nvml.place(card, &place), "asking for a card's PCI address"));
  name[kTextBytes - 1] = uuid[kTextBytes - 1] = '\0';
  place.bus_id[sizeof(place.bus_id) - 1] = '\0';
  return CardReport{.name = name,
                    .uuid = uuid,
                    .bus = absl::AsciiStrToLower(place.bus_id),
                    .memory_bytes = static_cast<int64_t>(memory.total),
                    .free_bytes = static_cast<int64_t>(memory.free),
                    .numa_node = NumaNodeOf(place)};
}

// Numbers the groups in the order of their first cards. A card that reaches no other stays at -1.
void FindLinkGroups(const Nvml& nvml, const std::vector<CardHandle>& handles,
                    std::vector<CardReport>& cards) {
  const size_t count = cards.size();
  std::vector<size_t> root(count);
  for (size_t i = 0; i < count; ++i) root[i] = i;
  std::vector<bool> linked(count);
  for (size_t a = 0; a < count; ++a) {
    for (size_t b = a + 1; b < count; ++b) {
      int status = -1;
      if (nvml.reach(handles[a], handles[b], kOverNvlink, &status) != 0 || status != kReachable) continue;
      linked[a] = linked[b] = true;
      const size_t to = std::min(root[a], root[b]), from = std::max(root[a], root[b]);
      std::replace(root.begin(), root.end(), from, to);
    }
  }
  int32_t groups = 0;
  for (size_t i = 0; i < count; ++i) {
    if (!linked[i]) continue;
    cards[i].link_group = root[i] == i ? groups++ : cards[root[i]].link_group;
  }
}

absl::StatusOr<std::vector<CardReport>> ReadAll(const Nvml& nvml) {
  unsigned int count = 0;
  DR_RETURN_IF_ERROR(nvml.Check(nvml.count(&count), "counting the cards"));
  std::vector<CardHandle> handles(count);
  std::vector<CardReport> cards;
  for (unsigned int i = 0; i < count; ++i) {
    DR_RETURN_IF_ERROR(nvml.Check(nvml.card(i, &handles[i]), "opening a card"));
    DR_ASSIGN_OR_RETURN(CardReport card, ReadCard(nvml, handles[i]));
    cards.push_back(std::move(card));
  }
  FindLinkGroups(nvml, handles, cards);
  return cards;
}

}  // namespace

absl::StatusOr<std::vector<CardReport>> ReadCards(const std::string& library) {
  const Library loaded(dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL));
  if (loaded == nullptr) {
    const char* why = dlerror();
    return absl::NotFoundError(
        absl::StrCat(library, " cannot be loaded: ", why == nullptr ? "unknown" : why));
  }
  DR_ASSIGN_OR_RETURN(const Nvml nvml, FunctionsOf(loaded.get(), library));
  DR_RETURN_IF_ERROR(nvml.Check(nvml.init(), "starting"));
  absl::StatusOr<std::vector<CardReport>> cards = ReadAll(nvml);
  nvml.shutdown();
  return cards;
}

}  // namespace deeprack::worker
