// A stand-in for libnvidia-ml.so.1, which tests load at run time: four cards, of which 0 and 2, and 1 and 3,
// reach each other over NVLink. With the variable FAKE_NVML_FAILS, its number is the result of nvmlInit_v2.
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr unsigned int kCards = 4;
int cards[kCards] = {0, 1, 2, 3};
bool started = false;

constexpr int kOk = 0;
constexpr int kUninitialized = 1;

struct Memory {
  unsigned long long total, free, used;
};
struct Place {
  char bus_of_old_drivers[16];
  unsigned int domain, bus, device, device_id, subsystem_id;
  char bus_id[32];
};

int NumberOf(void* card) { return *static_cast<int*>(card); }

}  // namespace

extern "C" {

int nvmlInit_v2() {
  const char* fails = std::getenv("FAKE_NVML_FAILS");
  if (fails != nullptr) return std::atoi(fails);
  started = true;
  return kOk;
}
int nvmlShutdown() {
  started = false;
  return kOk;
}
const char* nvmlErrorString(int result) { return result == 9 ? "Driver Not Loaded" : "Uninitialized"; }
int nvmlDeviceGetCount_v2(unsigned int* count) {
  *count = kCards;
  return started ? kOk : kUninitialized;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void** card) {
  *card = &cards[index];
  return started ? kOk : kUninitialized;
}
int nvmlDeviceGetName(void*, char* name, unsigned int size) {
  std::snprintf(name, size, "NVIDIA H200");
  return kOk;
}
int nvmlDeviceGetUUID(void* card, char* uuid, unsigned int size) {
  std::snprintf(uuid, size, "GPU-%d", NumberOf(card));
  return kOk;
}
int nvmlDeviceGetMemoryInfo(void* card, Memory* memory) {
  *memory = {.total = 1000, .free = 900 - 100ull * static_cast<unsigned>(NumberOf(card)), .used = 0};
  return kOk;
}
int nvmlDeviceGetPciInfo_v3(void* card, Place* place) {
  std::memset(place, 0, sizeof(*place));
  place->domain = 0xfffe;  // a domain that this machine does not have
  place->bus = 0x17u + static_cast<unsigned>(NumberOf(card));
  std::snprintf(place->bus_id, sizeof(place->bus_id), "0000FFFE:%02X:00.0", place->bus);
  return kOk;
}
int nvmlDeviceGetP2PStatus(void* a, void* b, int capability, int* status) {
  const bool linked = capability == 2 && NumberOf(a) % 2 == NumberOf(b) % 2;
  *status = linked ? 0 : 4;
  return kOk;
}

}  // extern "C"
