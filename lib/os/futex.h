// Waiting for a word in memory to change, across processes that share it.
#pragma once

#include <cstdint>

#include "lib/os/clock.h"

namespace memsync {

// Sleeps while `word` holds `expected`, until futex_wake() or the deadline. May return early: look
// at the word again. False when the deadline has passed. Source: futex(2), FUTEX_WAIT_BITSET.
bool futex_wait(uint32_t& word, uint32_t expected, Deadline deadline = Deadline::max());
// Wakes all who wait on `word`, whichever process they are in.
void futex_wake(uint32_t& word) noexcept;

}  // namespace memsync
