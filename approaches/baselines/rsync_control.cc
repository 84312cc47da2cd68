#include "approaches/baselines/rsync_control.h"

#include <array>
#include <cstring>
#include <string>

#include "lib/os/error.h"

namespace memsync::rsync {

namespace {

constexpr std::string_view kMagic = "MSYNCRSY";
constexpr uint64_t kTextMax = 1024;  // of a failure

using Size = std::array<std::byte, 8>;
using Greeting = std::array<std::byte, 16>;
enum class Answer : uint8_t { ok = 0, failed = 1 };

Size encode(uint64_t value) {
  Size bytes;
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>(value >> (56 - 8 * i));
  return bytes;
}

uint64_t decode(std::span<const std::byte> bytes) {
  uint64_t value = 0;
  for (const std::byte byte : bytes) value = value << 8 | std::to_integer<uint64_t>(byte);
  return value;
}

void send_answer(Stream& stream, Answer answer, uint64_t number) {
  std::array<std::byte, 1 + sizeof(Size)> message;
  message[0] = static_cast<std::byte>(answer);
  const Size encoded = encode(number);
  std::memcpy(&message[1], encoded.data(), encoded.size());
  stream.write_all(message, after(kStallLimit));
}

[[noreturn]] void throw_told_failure(Stream& stream, uint64_t length) {
  if (length > kTextMax) throw_errno("reading what failed at the source", EPROTO);
  std::string text(length, '\0');
  stream.read_all(std::as_writable_bytes(std::span(text)), after(kStallLimit));
  for (char& letter : text)
    if (letter < ' ' || letter > '~') letter = '?';
  throw_errno("receiving the first copy: the source says '" + text + "'", EIO);
}

}  // namespace

void ask_for_copy(Stream& stream, uint64_t size_bytes) {
  Greeting greeting;
  std::memcpy(greeting.data(), kMagic.data(), kMagic.size());
  const Size size = encode(size_bytes);
  std::memcpy(&greeting[kMagic.size()], size.data(), size.size());
  stream.write_all(greeting, after(kStallLimit));
}

void ask_for_number(Stream& stream) {
  const std::byte question{};
  stream.write_all({&question, 1}, after(kStallLimit));
}

uint64_t receive_number(Stream& stream, Deadline deadline) {
  std::array<std::byte, 1 + sizeof(Size)> message;
  stream.read_all(message, deadline);
  const uint64_t number = decode(std::span(message).subspan(1));
  if (static_cast<Answer>(message[0]) == Answer::ok) return number;
  throw_told_failure(stream, number);
}

void expect_greeting(Stream& stream, uint64_t size_bytes) {
  Greeting greeting;
  stream.read_all(greeting, after(kStallLimit));
  if (std::memcmp(greeting.data(), kMagic.data(), kMagic.size()) != 0)
    throw_errno("greeting the destination, which speaks something else", EPROTO);
  if (const uint64_t size = decode(std::span(greeting).subspan(kMagic.size())); size != size_bytes)
    throw_errno("the destination's region has " + std::to_string(size) + " bytes, this one " +
                    std::to_string(size_bytes),
                EPROTO);
}

void send_number(Stream& stream, uint64_t literal_bytes) {
  send_answer(stream, Answer::ok, literal_bytes);
}

void expect_question(Stream& stream) {
  std::byte question{};
  stream.read_all({&question, 1}, Deadline::max());
}

void tell_failure(Stream& stream, std::string_view text) noexcept {
  try {
    text = text.substr(0, kTextMax);
    send_answer(stream, Answer::failed, text.size());
    stream.write_all(std::as_bytes(std::span(text)), after(kStallLimit));
  } catch (const std::system_error&) {
    // This side has its failure parked.
  }
  stream.shut_down();
}

}  // namespace memsync::rsync
