#include "netem/emulator.h"

#include <algorithm>
#include <array>
#include <optional>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/os/error.h"
#include "netem/packet_ring.h"
#include "netem/real_time.h"

namespace memsync {

namespace {

constexpr int kPacketsAtOnce = 64;  // per direction, before the other one gets its turn

// Waking up takes 20 to 50 us here, and would come twice per packet and way. So the emulator wakes
// up early and spins for the rest, and stays awake for a moment after an arrival, since an answer
// may follow. On two CPUs the hosts need the time, so spinning may cost at most a fifth of it;
// among many packets a little lateness changes nothing, for the line keeps its schedule.
constexpr Nanoseconds kWakeEarly = std::chrono::microseconds(60);
constexpr Nanoseconds kStayAwake = std::chrono::microseconds(50);

Nanoseconds now() {
  return Clock::now().time_since_epoch();
}

// Room for what can be on its way at once. An unlimited line is as fast as the machine (25 Gbit/s
// is more than any figure seen with one thread) and may be sent a round trip's worth as one burst.
uint64_t ring_bytes(const LineShape& shape) {
  const bool unlimited = shape.bits_per_second == 0;
  const double rate = unlimited ? 25e9 : static_cast<double>(shape.bits_per_second);
  const double flight = rate / 8 * seconds((unlimited ? 2 : 1) * shape.delay + shape.jitter);
  return static_cast<uint64_t>(flight) + (unlimited ? 0 : shape.queue_bytes) + (uint64_t{1} << 20);
}

// One way through the link.
class Direction {
 public:
  Direction(const LineShape& shape, const FileDescriptor& from, const FileDescriptor& to)
      : line_(shape), ring_(ring_bytes(shape)), from_(from), to_(to) {}

  // Takes what has arrived, at most kPacketsAtOnce packets. Returns how many there were.
  int receive(bool cut);
  // Hands over what is due. Returns when the next packet is due.
  std::optional<Nanoseconds> deliver();
  void clear() noexcept { ring_.clear(); }
  bool warm_up() noexcept { return ring_.warm_up(); }

 private:
  Line line_;
  PacketRing ring_;
  const FileDescriptor& from_;
  const FileDescriptor& to_;
  std::array<std::byte, kMaxFrameBytes> discarded_{};
};

int Direction::receive(bool cut) {
  for (int taken = 0; taken < kPacketsAtOnce; ++taken) {
    auto room = ring_.room();
    if (room.empty()) {
      deliver();
      room = ring_.room();
    }
    const bool full = room.empty();
    if (full) room = discarded_;
    const ssize_t got = ::read(from_.get(), room.data(), room.size());
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return taken;
    if (got < 0) throw_errno("reading a packet from a TUN device");
    const auto size = static_cast<size_t>(got);
    const auto wire = wire_size(room.first(size));
    if (!wire || cut) continue;
    // A full ring is a full queue: the packet takes no time on the line.
    if (full) continue;
    if (const auto delivery = line_.admit(now(), *wire)) ring_.push(size, *delivery);
  }
  return kPacketsAtOnce;
}

std::optional<Nanoseconds> Direction::deliver() {
  while (!ring_.empty()) {
    const auto& packet = ring_.front();
    if (packet.delivery > now()) return packet.delivery;
    // A packet that the kernel refuses (a device that is going down, no memory) is a lost packet.
    [[maybe_unused]] const auto written =
        ::write(to_.get(), packet.frame.data(), packet.frame.size());
    ring_.pop();
  }
  return std::nullopt;
}

// How long the emulator may still spin: a fifth of the time that passes, 2 ms saved up at most.
class SpinAllowance {
 public:
  // Settles the time since the last call, which was spent spinning or not. Returns what is left.
  Nanoseconds settle(Nanoseconds time, bool spent_spinning) noexcept {
    const Nanoseconds passed = time - settled_;
    settled_ = time;
    left_ = spent_spinning ? left_ - passed : std::min(kMost, left_ + passed / kShare);
    return left_;
  }

 private:
  static constexpr Nanoseconds kMost = std::chrono::milliseconds(2);
  static constexpr int kShare = 5;
  Nanoseconds left_ = kMost;
  Nanoseconds settled_ = now();
};

class Emulator {
 public:
  explicit Emulator(EmulatorSetup setup)
      : setup_(std::move(setup)),
        forth_(setup_.shape, setup_.source, setup_.destination),
        back_(second(setup_.shape), setup_.destination, setup_.source) {}

  void run();

 private:
  static LineShape second(LineShape shape) {
    ++shape.seed;
    return shape;
  }
  bool answer_control();  // false: the other end is gone
  void wait(std::optional<Nanoseconds> due);

  const EmulatorSetup setup_;
  Direction forth_;
  Direction back_;
  bool cut_ = false;
  bool cold_ = true;
  SpinAllowance allowance_;
  Naps naps_;
  bool spinning_ = false;  // since the allowance was last settled
  Nanoseconds last_arrival_{};
};

bool Emulator::answer_control() {
  char request = 0;
  const ssize_t got = ::recv(setup_.control.get(), &request, 1, MSG_DONTWAIT);
  if (got == 0) return false;
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  cut_ = request == kCutRequest;
  if (cut_) {  // a cut cable loses what is on it
    forth_.clear();
    back_.clear();
  }
  return ::send(setup_.control.get(), &request, 1, MSG_NOSIGNAL) == 1;
}

void Emulator::wait(std::optional<Nanoseconds> due) {
  const Nanoseconds time = now();
  const bool may_spin = allowance_.settle(time, spinning_) > Nanoseconds::zero();
  const Nanoseconds early = may_spin ? kWakeEarly : Nanoseconds::zero();
  spinning_ = may_spin && ((due && *due - time <= early) || time - last_arrival_ < kStayAwake);
  if (spinning_) return;
  // With nothing to do, memory is made ready for later, a little at a time.
  if (!due && cold_) {
    const bool more_forth = forth_.warm_up();
    const bool more_back = back_.warm_up();
    cold_ = more_forth || more_back;
  }
  timespec left{};
  if (due) {
    const auto until = std::max(*due - early - now(), Nanoseconds::zero());
    left.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(until).count();
    left.tv_nsec = (until % std::chrono::seconds(1)).count();
  }
  const bool unbounded = !due && !cold_;
  pollfd ends[3] = {{setup_.source.get(), POLLIN, 0},
                    {setup_.destination.get(), POLLIN, 0},
                    {setup_.control.get(), POLLIN, 0}};
  naps_.awake_until(Clock::now());
  if (::ppoll(ends, 3, unbounded ? nullptr : &left, nullptr) < 0 && errno != EINTR)
    throw_errno("waiting for packets");
  naps_.slept_until(Clock::now());
}

void Emulator::run() {
  take_precedence(Precedence::emulator);
  // The default slack of 50 us would be added to every delivery.
  check(::prctl(PR_SET_TIMERSLACK, 1), "setting the timer slack");
  check(::send(setup_.control.get(), &kReadyNotice, 1, MSG_NOSIGNAL), "reporting readiness");
  while (answer_control()) {
    const int arrived = forth_.receive(cut_) + back_.receive(cut_);
    const auto due_forth = forth_.deliver();
    const auto due_back = back_.deliver();
    if (arrived > 0) {
      last_arrival_ = now();
      allowance_.settle(last_arrival_, false);
      spinning_ = false;
      naps_.nap_when_due(Clock::time_point(last_arrival_));
      continue;
    }
    auto due = due_forth;
    if (due_back && (!due || *due_back < *due)) due = due_back;
    wait(due);
  }
}

}  // namespace

void run_emulator(EmulatorSetup setup) {
  // On the heap: each direction carries a frame's worth of scratch space.
  const auto emulator = std::make_unique<Emulator>(std::move(setup));
  emulator->run();
}

}  // namespace memsync
