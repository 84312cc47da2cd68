// One session's order of pulling: from a trace, from the options, or from a caller's own function.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "approaches/sync_strategy.h"
#include "approaches/userfaultfd/prefetch/in_order.h"
#include "approaches/userfaultfd/prefetch/policies.h"
#include "approaches/userfaultfd/prefetch/trace_file.h"

namespace memsync::userfaultfd {

// Reads the trace, or records one where there is none. Threads: guidance() and use() from one
// before the pager has begun; keep() after it has stopped.
class Guide {
 public:
  // `setup` is looked at during the call. Throws std::invalid_argument with one sentence (a trace
  // of something else, a range beyond the region, a name and no directory for it).
  Guide(const Settings& settings, const SideSetup& setup, const Priority& priority);

  // Refers to this where it records.
  Guidance guidance();
  const std::vector<UnitIndex>& order() const { return order_; }
  std::optional<TraceUse> use() const { return use_; }
  // Writes what was recorded, if anything; otherwise does nothing. Throws std::system_error.
  void keep() const;

 private:
  void follow_trace(const std::string& name, const std::string& folder);

  const TraceShape shape_;
  std::string path_;
  std::optional<TraceUse> use_;
  std::vector<UnitIndex> order_;
  std::vector<UnitIndex> touches_;
};

}  // namespace memsync::userfaultfd
