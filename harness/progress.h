// Tells the person what runs now, what is done and how long it still takes.
#pragma once

#include <cstdint>
#include <string>

#include "lib/os/clock.h"

namespace memsync {

// On a terminal one line that is drawn again, elsewhere a plain line per repetition; on stderr, so
// that stdout holds results alone. Threads: one.
class Progress {
 public:
  // total: repetitions; estimated: what all of them take by the plan
  Progress(uint64_t total, Nanoseconds estimated);
  ~Progress();

  void begin(const std::string& what);  // a repetition starts
  // It ended; `estimated` is what the plan said of it, so that the rest can be told better.
  void end(const std::string& status, const std::string& detail, Nanoseconds estimated);
  // A message of its own line.
  void note(const std::string& text);

 private:
  std::string time_left() const;
  void draw(const std::string& text);
  const bool terminal_;
  const uint64_t total_;
  uint64_t done_ = 0;
  Nanoseconds estimated_left_;
  Nanoseconds estimated_done_{};
  const Deadline start_ = Clock::now();
  std::string what_;
};

}  // namespace memsync
