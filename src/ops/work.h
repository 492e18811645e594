// How much arithmetic the operations have been asked for, for reports of speed.
#pragma once

#include <cstdint>

namespace sumi::ops {

// Multiply-adds of convolutions, products and attention since the program began, as their plain formulas have
// them: a method that needs fewer counts the same. Of forward operations only.
int64_t products_done();
void count_products(int64_t products);

}  // namespace sumi::ops
