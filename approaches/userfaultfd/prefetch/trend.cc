#include "approaches/userfaultfd/prefetch/trend.h"

#include <algorithm>

namespace memsync::userfaultfd {

namespace {

constexpr UnitIndex kReach = 64;  // a stream's next fault is not farther away
constexpr size_t kFewestVoters = 4;

UnitIndex distance(UnitIndex one, UnitIndex other) {
  return one > other ? one - other : other - one;
}

}  // namespace

void Trend::fault_at(UnitIndex unit) {
  for (Stream& stream : streams_) {
    if (stream.last_use == 0) continue;
    if (stream.last == unit) return;  // a second thread in the same unit
    if (const UnitIndex strides = strides_to(stream, unit)) {
      follow(stream, strides);
      return;
    }
  }
  turn(nearest(unit), unit);
}

std::optional<UnitIndex> Trend::take() {
  Stream* latest = nullptr;
  for (Stream& stream : streams_)
    if (next_of(stream) && (latest == nullptr || stream.last_use > latest->last_use))
      latest = &stream;
  if (latest == nullptr) return std::nullopt;
  const auto unit = next_of(*latest);
  ++latest->given;
  return unit;
}

// How many strides `unit` lies behind the latest fault, at most one behind what was given out; 0:
// it was not foreseen.
UnitIndex Trend::strides_to(const Stream& stream, UnitIndex unit) {
  if (stream.trend == 0) return 0;
  const auto way = static_cast<Stride>(unit) - static_cast<Stride>(stream.position);
  const Stride strides = way / stream.trend;
  if (way % stream.trend != 0 || strides < 1) return 0;
  return static_cast<UnitIndex>(strides) <= stream.given + 1 ? static_cast<UnitIndex>(strides) : 0;
}

// Everything before it was used.
void Trend::follow(Stream& stream, UnitIndex strides) {
  stream.position += static_cast<UnitIndex>(stream.trend * static_cast<Stride>(strides));
  stream.last = stream.position;
  stream.given -= std::min(stream.given, strides);
  stream.ahead = std::min(std::max<UnitIndex>(stream.ahead * 2, 1), unit_count_);
  stream.last_use = ++uses_;
  vote(stream, stream.trend);
}

void Trend::turn(Stream& stream, UnitIndex unit) {
  if (stream.last_use == 0 || distance(stream.position, unit) > kReach) {
    stream = Stream{};
    stream.position = stream.last = unit;
    stream.last_use = ++uses_;
    return;
  }
  const auto stride = static_cast<Stride>(unit) - static_cast<Stride>(stream.last);
  vote(stream, stride);
  stream.last = unit;
  stream.last_use = ++uses_;
  const Stride trend = majority(stream);
  if (trend != 0 && trend == stream.trend && stride != trend) {
    stream.ahead /= 2;
    return;
  }
  stream.trend = trend;
  stream.position = unit;
  stream.given = 0;
  stream.ahead = trend == 0 ? 0 : std::max(stream.ahead, first_strides_);
}

// The nearest stream, or the one to give up for a new one where none is near.
Trend::Stream& Trend::nearest(UnitIndex unit) {
  const auto near = std::ranges::min_element(streams_, {}, [&](const Stream& stream) {
    return stream.last_use == 0 ? UINT64_MAX : distance(stream.position, unit);
  });
  if (near->last_use != 0 && distance(near->position, unit) <= kReach) return *near;
  return *std::ranges::min_element(streams_, {}, &Stream::last_use);
}

std::optional<UnitIndex> Trend::next_of(const Stream& stream) const {
  if (stream.trend == 0 || stream.given >= stream.ahead) return std::nullopt;
  const Stride next =
      static_cast<Stride>(stream.position) + stream.trend * static_cast<Stride>(stream.given + 1);
  if (next < 0 || next >= static_cast<Stride>(unit_count_)) return std::nullopt;
  return static_cast<UnitIndex>(next);
}

void Trend::vote(Stream& stream, Stride stride) {
  stream.votes[stream.vote_count++ % stream.votes.size()] = stride;
}

Trend::Stride Trend::majority(const Stream& stream) {
  const size_t voters = std::min(stream.vote_count, stream.votes.size());
  if (voters < 2) return 0;
  for (size_t count = kFewestVoters;; count *= 2) {
    const Stride winner = majority_of_last(stream, std::min(count, voters));
    if (winner != 0 || count >= voters) return winner;
  }
}

// 0 where no stride has more than half of the votes.
Trend::Stride Trend::majority_of_last(const Stream& stream, size_t count) {
  const auto vote_at = [&](size_t back) {
    return stream.votes[(stream.vote_count - 1 - back) % stream.votes.size()];
  };
  Stride candidate = 0;
  size_t lead = 0;
  for (size_t back = 0; back < count; ++back) {
    if (lead == 0) candidate = vote_at(back);
    if (vote_at(back) == candidate)
      ++lead;
    else
      --lead;
  }
  size_t votes = 0;
  for (size_t back = 0; back < count; ++back) votes += vote_at(back) == candidate ? 1 : 0;
  return 2 * votes > count ? candidate : 0;
}

}  // namespace memsync::userfaultfd
