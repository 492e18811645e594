#include "ops/shape.h"

#include <cstring>

#include "ops/bf16.h"
#include "ops/common.h"

namespace sumi::ops {
namespace {

// Copies `rows` rows of `count` elements between rows `from_width` and `to_width` apart.
template <class Element>
void copy_columns(const Element* from, int64_t from_width, Element* to, int64_t to_width,
                  int64_t rows, int64_t count) {
  if (count == 0) return;
  for_rows(rows, count, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      std::memcpy(to + r * to_width, from + r * from_width,
                  static_cast<size_t>(count) * sizeof(Element));
  });
}

Tensor take_columns(const Tensor& x, int64_t begin, int64_t count) {
  Shape shape = x.shape();
  const int64_t width = shape.back();
  shape.back() = count;
  Tensor out = Tensor::empty(std::move(shape));
  copy_columns(x.f32() + begin, width, out.f32(), count, row_count(x, width), count);
  return out;
}

}  // namespace

Tensor reshape(const Tensor& x, Shape shape) {
  Tensor out = x.view(std::move(shape));
  if (needs_record({&x}))
    record(out, "reshape", {x},
           [from = x.shape()](const Tensor& g) -> std::vector<Tensor> { return {g.view(from)}; });
  return out;
}

Tensor slice_last(const Tensor& x, int64_t begin, int64_t count) {
  const int64_t width = check_rows("slice_last", "x", x);
  if (begin < 0 || count < 0 || begin > width || count > width - begin)
    fail("slice_last: columns [{}, {} + {}) of a tensor of shape {}", begin, begin, count,
         shape_string(x.shape()));
  Tensor out = take_columns(x, begin, count);
  if (needs_record({&x}))
    record(out, "slice_last", {x},
           [shape = x.shape(), begin, count](const Tensor& g) -> std::vector<Tensor> {
             Tensor dx = Tensor::zeros(shape);
             copy_columns(g.f32(), count, dx.f32() + begin, shape.back(), row_count(g, count),
                          count);
             return {dx};
           });
  return out;
}

Tensor concat_last(const std::vector<Tensor>& parts) {
  if (parts.empty()) fail("concat_last: no parts");
  int64_t width = 0;
  bool recording = false;
  for (const Tensor& part : parts) {
    if (!is_bf16(part) || !is_bf16(parts[0])) check_rows("concat_last", "a part", part);
    if (part.dim() > 0) width += part.shape().back();
    if (part.dim() != parts[0].dim() ||
        !std::equal(part.shape().begin(), part.shape().end() - 1, parts[0].shape().begin()))
      fail("concat_last: parts of shapes {} and {}", shape_string(parts[0].shape()),
           shape_string(part.shape()));
    recording = recording || needs_record({&part});
  }
  Shape shape = parts[0].shape();
  shape.back() = width;
  Tensor out = Tensor::empty(std::move(shape), parts[0].dtype());
  const int64_t rows = row_count(out, width);
  int64_t column = 0;
  std::vector<std::pair<int64_t, bool>> pieces;  // columns, and whether they need a gradient
  for (const Tensor& part : parts) {
    const int64_t count = part.shape().back();
    pieces.emplace_back(count, part.requires_grad());
    if (is_bf16(out))
      copy_columns(part.data<uint16_t>(), count, out.data<uint16_t>() + column, width, rows, count);
    else
      copy_columns(part.f32(), count, out.f32() + column, width, rows, count);
    column += count;
  }
  if (recording)
    record(out, "concat_last", parts, [pieces = std::move(pieces)](const Tensor& g) {
      std::vector<Tensor> grads;
      int64_t begin = 0;
      for (const auto& [count, needed] : pieces) {
        grads.push_back(needed ? take_columns(g, begin, count) : Tensor());
        begin += count;
      }
      return grads;
    });
  return out;
}

}  // namespace sumi::ops
