// What the two sides tell each other beside rsync: when the first copy is there, and how much
// moved.
//
//   destination: "MSYNCRSY" size:u64                      asks for the first copy
//   source:      0:u8 literal bytes so far:u64            it is there
//                1:u8 length:u64 text                     it failed, and the stream ends
//   destination: any byte                                 asks for the number again
//
// Numbers are big-endian.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "lib/transport/stream.h"

namespace memsync::rsync {

// A message, or rsync's next byte, that takes longer has no peer any more.
inline constexpr std::chrono::seconds kStallLimit(30);
// rsync's source dials a daemon that listens already: who does not answer can't be reached.
inline constexpr std::chrono::seconds kDialLimit(10);

// The destination's. They throw std::system_error where the stream breaks or nothing comes.
void ask_for_copy(Stream& stream, uint64_t size_bytes);
void ask_for_number(Stream& stream);
// The source's number; throws std::system_error with its text where it failed.
uint64_t receive_number(Stream& stream, Deadline deadline);

// The source's. Throws std::system_error for a destination that wants another size.
void expect_greeting(Stream& stream, uint64_t size_bytes);
void send_number(Stream& stream, uint64_t literal_bytes);
void expect_question(Stream& stream);  // however long it takes
// As well as it goes (the peer may be what failed), and ends the stream.
void tell_failure(Stream& stream, std::string_view text) noexcept;

}  // namespace memsync::rsync
