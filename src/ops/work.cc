#include "ops/work.h"

#include <atomic>

namespace sumi::ops {
namespace {

std::atomic<int64_t> products{0};

}  // namespace

int64_t products_done() { return products.load(std::memory_order_relaxed); }
void count_products(int64_t more) { products.fetch_add(more, std::memory_order_relaxed); }

}  // namespace sumi::ops
