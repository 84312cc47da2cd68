// Who else uses this machine, and whether that spoils a repetition.
#pragma once

#include <optional>

#include "harness/columns.h"
#include "lib/os/clock.h"

namespace memsync {

// Totals of the machine since it started, and of this process. Absent files read as nothing.
struct MachineReading {
  Deadline at{};
  double psi_cpu_s = -1;  // time in which some task waited for a CPU; -1: the kernel has no PSI
  double psi_mem_s = -1;
  unsigned cpus = 1;
  double idle_s = 0;        // of all CPUs, waiting for disks included
  double interrupts_s = 0;  // 0 where the kernel bills them to whoever they interrupt
  double steal_s = 0;
  double ours_s = 0;  // CPU of this process and of the children that it has waited for
  double load1 = 0;
};
MachineReading read_machine();

// Above this share others are no longer a whisper; how it was found: harness/README.md.
inline constexpr double kOthersMax = 0.1;
inline constexpr double kStealMax = 0.02;  // of the elapsed time

// Share of the machine's CPU time between two readings that was neither idle nor stolen, nor
// interrupts', nor ours: other processes had it.
struct OthersShare {
  double ratio = 0;
  double rounding = 0;  // it may be so much too high or too low: /proc/stat counts in 10 ms
  bool is_noise() const { return ratio - rounding > kOthersMax; }
};
// nullopt for a moment too short to tell.
std::optional<OthersShare> others_share(const MachineReading& before, const MachineReading& now);

// Where a repetition's CPU time is spent.
enum class Hosts : uint8_t { here, elsewhere };

// Sets the columns about noise.
//   was_quiet   the gate found the machine quiet before the repetition
void set_noise(const MachineReading& before, const MachineReading& now, bool was_quiet, Hosts hosts,
               Row& row);

}  // namespace memsync
