// How long threads that have nothing to do spin before they sleep.
#pragma once

namespace sumi::cli {

// GCC's OpenMP lets a thread spin for some 20 ms where others are not done. Where another program, or another virtual
// machine, holds one of the processors, the threads then wait for each other most of the time: one busy neighbour on two
// processors made prompts 24 times and decoding 9 times slower. With short waits both lose about half, and a
// quiet machine loses nothing. OpenMP reads its settings before main() begins: so this starts the program anew with
// GOMP_SPINCOUNT set, unless the user has set that or OMP_WAIT_POLICY. Returns where that cannot be done.
void wait_briefly(char** argv);

}  // namespace sumi::cli
