// One repetition of a peer: somebody else's program reads at the destination and says what it got.
//
//   conductor      source agent       program, MEMSYNC_ROLE=source   program, =destination
//      ├─ open ───▶ serves the bytes         │                              │
//      ├─ start ────────────────────────────▶│ "ready" or exit 0            │
//      ├─ start ──────────────────────────────────────────────────────────▶│ reads
//      │◀──────────────────────────────────────────────────── one line ─────┤
//      ├─ end both, with whom they started; check the digest; row
#pragma once

#include "harness/repetition.h"

namespace memsync {

// Fills the measures of `row`, status ok. Throws RepetitionFailure, Interrupted, and what is wrong
// with the conductor itself.
void run_peer(const RepetitionSetup& setup, Expectations& expectations, InterruptWatch& interrupt,
              Row& row);

}  // namespace memsync
