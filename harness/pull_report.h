// What `memsync pull` says on stderr, where it is out of the way of a program's own words.
#pragma once

#include <string>

#include "approaches/userfaultfd/fault_server.h"

namespace memsync {

// One sentence as one write, so that threads don't mix theirs.
void tell_on_stderr(const std::string& sentence);
// What came, as a sentence or as one line of JSON.
void report(const userfaultfd::FaultServer::Totals& totals, uint64_t region_bytes, bool json);

}  // namespace memsync
