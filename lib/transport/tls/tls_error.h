// Why two ends of a TLS connection do not get together, as error codes.
#pragma once

#include <cstdint>
#include <system_error>

namespace memsync {

// Nothing that another attempt would mend. What breaks later has the codes of a plain stream.
enum class TlsError : uint8_t {
  refused_here = 1,   // this end refused the peer
  refused_there = 2,  // the peer refused this end
  no_tls = 3,         // the peer speaks something else, or another version
};

const std::error_category& tls_category() noexcept;
inline std::error_code make_error_code(TlsError error) noexcept {
  return {static_cast<int>(error), tls_category()};
}

}  // namespace memsync

template <>
struct std::is_error_code_enum<memsync::TlsError> : std::true_type {};
