// Where the memory of large blocks goes when they are freed.
#pragma once

namespace sumi::base {

// From here on, freed blocks of 1 MiB and more go back to the system at once: for programs whose stages need blocks of
// different sizes. glibc otherwise keeps blocks of up to 32 MiB once it has seen such blocks come and go, between small
// ones that live on. Does nothing with other C libraries.
void return_large_blocks();

}  // namespace sumi::base
