#include "base/large_blocks.h"

#include <cstdlib>  // defines __GLIBC__

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace sumi::base {

void return_large_blocks() {
#if defined(__GLIBC__)
  mallopt(M_MMAP_THRESHOLD, 1 << 20);  // a threshold that was set is not raised by what is freed
#endif
}

}  // namespace sumi::base
