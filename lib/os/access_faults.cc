#include "lib/os/access_faults.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <csetjmp>
#include <csignal>
#include <mutex>

#include "lib/os/error.h"

namespace memsync {

namespace {

struct Guard {
  sigjmp_buf back;
  volatile sig_atomic_t armed = 0;
  AccessFault fault;
};

thread_local Guard guard;

// No signal mask is saved: SA_NODEFER leaves it alone, which makes the guard cost nanoseconds. TSan
// blocks all signals around handlers, whatever their flags.
#if defined(__SANITIZE_THREAD__)
constexpr int kSaveMask = 1;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
constexpr int kSaveMask = 1;
#else
constexpr int kSaveMask = 0;
#endif
#else
constexpr int kSaveMask = 0;
#endif

// Read inside the signal handler, so without locks. `inside` counts who uses `repair` right now.
struct Slot {
  std::atomic<FaultRepair*> repair = nullptr;
  std::atomic<uintptr_t> begin = 0;
  std::atomic<uintptr_t> end = 0;
  std::atomic<uint32_t> inside = 0;
};

std::array<Slot, 64> slots;
std::mutex slots_mutex;  // of those who take a slot or give it back
struct sigaction bus_before;
struct sigaction segv_before;

bool repaired(uintptr_t address) noexcept {
  for (Slot& slot : slots) {
    if (address < slot.begin || address >= slot.end) continue;
    ++slot.inside;
    FaultRepair* const repair = slot.repair;
    const bool done = repair != nullptr && address >= slot.begin && address < slot.end &&
                      repair->repair(reinterpret_cast<std::byte*>(address));
    if (--slot.inside == 0) slot.inside.notify_all();
    if (done) return true;
  }
  return false;
}

void on_fault(int signal, siginfo_t* info, void*) {
  const int error = errno;
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  if (repaired(address)) {
    errno = error;
    return;
  }
  if (guard.armed != 0) {
    guard.armed = 0;
    guard.fault = {signal, address};
    ::siglongjmp(guard.back, 1);
  }
  // Not ours: what happened before comes when the faulting instruction runs again.
  ::sigaction(signal, signal == SIGBUS ? &bus_before : &segv_before, nullptr);
}

}  // namespace

void install_fault_guard() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action{};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(SIGBUS, &action, &bus_before);
    ::sigaction(SIGSEGV, &action, &segv_before);
  });
}

RepairedRange::RepairedRange(std::span<std::byte> memory, FaultRepair& repair) : slot_(0) {
  install_fault_guard();
  const std::lock_guard lock(slots_mutex);
  while (slot_ < slots.size() && slots[slot_].repair != nullptr) ++slot_;
  if (slot_ == slots.size()) throw_errno("repairing access faults of one more region", ENOSPC);
  Slot& slot = slots[slot_];
  slot.repair = &repair;
  slot.begin = reinterpret_cast<uintptr_t>(memory.data());
  slot.end = slot.begin + memory.size();
}

RepairedRange::~RepairedRange() {
  const std::lock_guard lock(slots_mutex);
  Slot& slot = slots[slot_];
  slot.end = 0;
  slot.begin = 0;
  slot.repair = nullptr;
  while (const uint32_t inside = slot.inside) slot.inside.wait(inside);
}

AccessFault guarded(void (*work)(void* context), void* context) noexcept {
  guard.fault = {};
  if (sigsetjmp(guard.back, kSaveMask) == 0) {
    guard.armed = 1;
    work(context);
  }
  guard.armed = 0;
  return guard.fault;
}

}  // namespace memsync
