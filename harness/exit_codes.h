// The exit codes of every verb. Never 1 for a failure of ours and never 2: make turns both into 2.
#pragma once

namespace memsync::exit_code {

inline constexpr int kOk = 0;
inline constexpr int kRegression = 1;
inline constexpr int kInconclusive = 3;
inline constexpr int kIncomplete = 4;   // missing or failed cells, nothing ran
inline constexpr int kUnsupported = 5;  // nothing of it can run here
inline constexpr int kUsage = 64;
inline constexpr int kInternal = 70;
inline constexpr int kInterrupted = 130;

}  // namespace memsync::exit_code
