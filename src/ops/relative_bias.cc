#include "ops/relative_bias.h"

#include <cmath>

#include "ops/common.h"

namespace sumi::ops {

int64_t relative_bucket(int64_t distance, const RelativeBuckets& buckets) {
  int64_t count = buckets.count, first = 0, away = -distance;
  if (buckets.both_sides) {
    count /= 2;
    if (distance > 0) first = count;
    away = std::abs(distance);
  } else if (away < 0) {
    away = 0;
  }
  const int64_t exact = count / 2;
  if (away < exact) return first + away;
  // In float, as the reference: at powers of two the last bit decides.
  const float octaves = std::log(static_cast<float>(away) / static_cast<float>(exact)) /
                        static_cast<float>(std::log(static_cast<double>(buckets.max_distance) /
                                                    static_cast<double>(exact))) *
                        static_cast<float>(count - exact);
  return first + std::min(exact + static_cast<int64_t>(octaves), count - 1);
}

Tensor relative_bias(const Tensor& table, const RelativeBuckets& buckets, int64_t reach) {
  check_f32("relative bias", "table", table);
  if (table.dim() != 2 || table.size(0) != buckets.count || buckets.count < 4 ||
      buckets.count % 4 != 0)
    fail("relative bias: table {} for {} buckets, expected [buckets, H] and a multiple of 4",
         shape_string(table.shape()), buckets.count);
  if (buckets.max_distance <= buckets.count / (buckets.both_sides ? 4 : 2))
    fail("relative bias: a largest distance of {} is too small for {} buckets",
         buckets.max_distance, buckets.count);
  if (reach < 1) fail("relative bias: reach is {}, expected 1 or more", reach);
  const int64_t heads = table.size(1), width = 2 * reach - 1;
  std::vector<int64_t> rows(static_cast<size_t>(width));
  for (int64_t i = 0; i < width; ++i)
    rows[static_cast<size_t>(i)] = relative_bucket(i - (reach - 1), buckets);
  Tensor out = Tensor::empty({heads, width});
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t i = 0; i < width; ++i)
      out.f32()[h * width + i] = table.f32()[rows[static_cast<size_t>(i)] * heads + h];
  if (needs_record({&table}))
    record(out, "relative_bias", {table},
           [rows, shape = table.shape(), heads, width](const Tensor& g) -> std::vector<Tensor> {
             Tensor dtable = Tensor::zeros(shape);
             for (int64_t h = 0; h < heads; ++h)
               for (int64_t i = 0; i < width; ++i)
                 dtable.f32()[rows[static_cast<size_t>(i)] * heads + h] += g.f32()[h * width + i];
             return {dtable};
           });
  return out;
}

}  // namespace sumi::ops
