// Whatever comes instead of an offer or a verdict is refused; what is taken is sound.
#include <algorithm>
#include <array>
#include <cstring>

#include "approaches/userfaultfd/handoff.h"
#include "lib/os/mapping.h"

namespace memsync::userfaultfd {
namespace {

void require(bool holds) {
  if (!holds) __builtin_trap();
}

// A third of the inputs gets our first sixteen bytes, so that what follows is reached at once.
void try_offer(std::span<const std::byte> input, Dialect dialect) {
  if (input.empty()) return;
  const bool help = std::to_integer<unsigned>(input[0]) % 3 == 0;
  std::vector<std::byte> bytes(input.begin() + 1, input.end());
  const auto sound = encode_offer({.start = page_bytes(),
                                   .length = 1,
                                   .region_offset = 0,
                                   .page_bytes = static_cast<uint32_t>(page_bytes()),
                                   .pid = 1,
                                   .has_poison = true},
                                  dialect);
  if (help)
    std::copy_n(sound.begin(), std::min<size_t>({16, bytes.size(), sound.size()}), bytes.begin());
  try {
    const Offer offer = decode_offer(bytes, dialect);
    require(bytes.size() == offer_bytes(dialect));
    require(offer.start % page_bytes() == 0 && offer.region_offset % page_bytes() == 0);
    require(offer.start + offer.length >= offer.start);
    require(dialect == Dialect::userfaultfd_go || (offer.length > 0 && offer.pid > 0));
    auto again = encode_offer(offer, dialect);
    if (dialect == Dialect::userfaultfd_go) again.back() = bytes.back();  // it means nothing
    require(again == bytes);
  } catch (const Refusal& refusal) {
    require(refusal.verdict != Verdict::served);
  }
}

void try_verdict(std::span<const std::byte> input) {
  std::array<std::byte, kVerdictBytes> bytes{};
  if (input.size() < bytes.size()) return;
  std::copy_n(input.begin(), bytes.size(), bytes.begin());
  const auto sound = encode_verdict(Verdict::served);
  if (std::to_integer<unsigned>(input[0]) % 2 == 0) std::copy_n(sound.begin(), 10, bytes.begin());
  try {
    const Verdict verdict = decode_verdict(bytes);
    require(!verdict_text(verdict).empty() && encode_verdict(verdict) == bytes);
  } catch (const std::system_error&) {
  }
}

}  // namespace
}  // namespace memsync::userfaultfd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace memsync::userfaultfd;  // NOLINT(google-build-using-namespace)
  const std::span input(reinterpret_cast<const std::byte*>(data), size);
  try_offer(input, Dialect::memsync);
  try_offer(input, Dialect::userfaultfd_go);
  try_verdict(input);
  return 0;
}
