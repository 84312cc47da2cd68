// A link that is cut for a while, by whoever waits for its hosts.
#pragma once

#include <optional>

#include "harness/suite.h"
#include "lib/os/clock.h"
#include "netem/link.h"

namespace memsync {

// Acts when it is asked to and it is time; nothing happens by itself. Threads: the link's one.
class Outage {
 public:
  // `link` outlives this. Nothing is cut before begin().
  Outage(Link& link, const CutSpec& spec) : link_(link), spec_(spec) {}
  // From now the moments of `spec` are counted.
  void begin();
  // Cuts or mends, if the moment has come. Throws what Link::set_cut() throws.
  void act();
  // When act() has something to do; Deadline::max(): never again, or not begun.
  Deadline next() const;
  // Nothing more is cut, and what is cut is mended. Returns how long it was.
  Nanoseconds end();
  bool has_cut() const noexcept { return cut_at_.has_value(); }

 private:
  Link& link_;
  const CutSpec spec_;
  std::optional<Deadline> start_;
  std::optional<Deadline> cut_at_, mended_at_;
};

}  // namespace memsync
