// Ways in which a region's bytes may be changed, and sets of them: what a detector sees, what a
// region needs.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace memsync {

enum class Writer : uint8_t {
  stores = 1,  // of this process through the watched mapping, and what system calls store there
  other_mapping = 2,  // of this process through another mapping of the same file
  file_calls = 4,     // write(2) and its like, truncation, holes: of any process
  other_process = 8,  // stores of another process through its own mapping
};
inline constexpr std::array kWriters{Writer::stores, Writer::other_mapping, Writer::file_calls,
                                     Writer::other_process};
std::string_view name_of(Writer writer);  // as written above

class WriterSet {
 public:
  constexpr WriterSet() = default;
  constexpr WriterSet(std::initializer_list<Writer> writers) {
    for (const Writer writer : writers) bits_ |= static_cast<uint8_t>(writer);
  }
  static constexpr WriterSet all() {
    return {Writer::stores, Writer::other_mapping, Writer::file_calls, Writer::other_process};
  }

  constexpr bool is_empty() const { return bits_ == 0; }
  constexpr bool contains(Writer writer) const {
    return (bits_ & static_cast<uint8_t>(writer)) != 0;
  }
  constexpr bool covers(WriterSet others) const { return (others.bits_ & ~bits_) == 0; }
  // Those of this set that `seen` lacks.
  constexpr WriterSet missed_by(WriterSet seen) const {
    WriterSet missed;
    missed.bits_ = static_cast<uint8_t>(bits_ & ~seen.bits_);
    return missed;
  }
  std::string names() const;  // "stores, file_calls"; "nothing" of an empty set
  friend constexpr bool operator==(WriterSet, WriterSet) = default;

 private:
  uint8_t bits_ = 0;
};

}  // namespace memsync
