// One way to turn a failed system call into an exception that names the attempt.
#pragma once

#include <cerrno>
#include <string>
#include <system_error>

namespace memsync {

// Throws std::system_error: `attempt` says what was tried and on what, the code says why not.
[[noreturn]] inline void throw_errno(const std::string& attempt, int error = errno) {
  throw std::system_error(error, std::generic_category(), attempt);
}

// Returns `result` of a system call, or throws when it is negative.
template <typename T>
T check(T result, const std::string& attempt) {
  if (result < 0) throw_errno(attempt);
  return result;
}

}  // namespace memsync
