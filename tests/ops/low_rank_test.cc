// LoRA's addition, dropout, the backward of packed weights, texts apart in attention, and the loss
// in pieces.
#include "ops/low_rank.h"

#include "base/threads.h"
#include "check.h"
#include "ops/ops.h"

namespace sumi::ops {
namespace {

using check::expect_close;
using check::expect_gradients;
using check::random_tensor;

TEST(LowRank, AddsToItsColumnsAndDifferentiates) {
  const Tensor x = random_tensor({2, 3, 9}, 1), w = random_tensor({11, 9}, 2);
  const Tensor a = random_tensor({4, 9}, 3), b = random_tensor({5, 4}, 4);
  const auto function = [](const std::vector<Tensor>& in) {
    return add_low_rank(linear(in[0], in[1]), 3, in[0], in[2], in[3], 0.5f);
  };
  const Tensor plain = linear(x, w), low = linear(linear(x, a), b);
  const Tensor y = function({x, w, a, b});
  for (int64_t r = 0; r < 6; ++r)
    for (int64_t c = 0; c < 11; ++c)
      EXPECT_NEAR(y.f32()[r * 11 + c],
                  plain.f32()[r * 11 + c] + (c >= 3 && c < 8 ? 0.5f * low.f32()[r * 5 + c - 3] : 0),
                  1e-4);
  expect_gradients(function, {x, w, a, b});
  const tensor::NoGrad no_grad;
  const PackedWeight packed_a({a}, PackedWeight::Compute::f32);
  const PackedWeight packed_b({scale(b, 0.5f)}, PackedWeight::Compute::f32);
  expect_close(add_low_rank(linear(x, w), 3, x, packed_a, packed_b), y, 1e-5);
  EXPECT_NE(check::error_of([&] { add_low_rank(plain, 7, x, a, b, 1); }).find("columns"),
            std::string::npos);
}

// Several uses of an input add to one gradient in place, but never to one that another record will read.
TEST(LowRank, InputsOfSeveralAddTheirGradients) {
  const Tensor x = random_tensor({2, 3, 9}, 1), w = random_tensor({9, 9}, 2), other = random_tensor({9, 9}, 3);
  const Tensor a = random_tensor({4, 9}, 4), b = random_tensor({5, 4}, 5);
  expect_gradients(
      [](const std::vector<Tensor>& in) {
        const Tensor made = scale(in[0], 2);
        return add(add_low_rank(linear(made, in[1]), 3, made, in[3], in[4], 0.5f), linear(made, in[2]));
      },
      {x, w, other, a, b});
  expect_gradients(
      [](const std::vector<Tensor>& in) {  // the sum's gradient waits for `made` and for linear's result alike
        const Tensor made = scale(in[0], 2);
        return add(made, linear(made, in[1]));
      },
      {x, w});
}

// Rows of several chunks and threads, with some left over, beside the same from products of their own.
TEST(LowRank, OfManyRowsIsTheSameOnAnyNumberOfThreads) {
  const int64_t rows = 301;
  const Tensor x = random_tensor({rows, 40}, 1), w = random_tensor({50, 40}, 2), g = random_tensor({rows, 50}, 3);
  const Tensor a = random_tensor({4, 40}, 4), b = random_tensor({33, 4}, 5);
  const auto run = [&](bool apart) {
    std::vector<Tensor> in = {x.clone(), a.clone(), b.clone()};
    for (Tensor& t : in) t.set_requires_grad(true);
    Tensor y = linear(in[0], w);
    if (apart) {
      const Tensor low = scale(linear(linear(in[0], in[1]), in[2]), 0.5f);
      y = add(y, concat_last({Tensor::zeros({rows, 7}), low, Tensor::zeros({rows, 10})}));
    } else {
      y = add_low_rank(y, 7, in[0], in[1], in[2], 0.5f);
    }
    tensor::backward(y, g);
    return std::vector<Tensor>{y, in[0].grad(), in[1].grad(), in[2].grad()};
  };
  const std::vector<Tensor> expected = run(true), found = run(false);
  for (size_t i = 0; i < 4; ++i) expect_close(found[i], expected[i], 1e-4);
  const int threads = base::num_threads();
  for (const int other : {1, 3}) {
    base::set_num_threads(other);
    const std::vector<Tensor> again = run(false);
    base::set_num_threads(threads);
    for (size_t i = 0; i < 4; ++i) check::expect_same_bits(again[i], found[i]);
  }
}

TEST(TokenRows, StandForThoseOfATableAndOfAHead) {
  const Tensor table = random_tensor({5, 6}, 1), rows = random_tensor({2, 6}, 2);
  for (const int64_t begin : {3, 5}) {  // among the table's, and after them
    const auto b = static_cast<int32_t>(begin);
    const Tensor ids = Tensor::from_ids({1, b, b + 1, 2, b}, {5});
    const auto looked_up = [&](const std::vector<Tensor>& in) {
      return embedding(ids, table, begin, in[0]);
    };
    const Tensor y = looked_up({rows});
    for (int64_t c = 0; c < 6; ++c) {
      EXPECT_EQ(y.f32()[c], table.f32()[6 + c]);
      EXPECT_EQ(y.f32()[6 + c], rows.f32()[c]);
      EXPECT_EQ(y.f32()[12 + c], rows.f32()[6 + c]);
    }
    expect_gradients(looked_up, {rows});
  }
  const auto logits = [&](const std::vector<Tensor>& in) {
    return replace_columns(linear(in[0], in[2]), 3, in[0], in[1]);
  };
  const Tensor x = random_tensor({4, 6}, 3);
  Tensor replaced = table.clone();
  std::copy_n(rows.f32(), 12, replaced.f32() + 18);
  expect_close(logits({x, rows, table}), linear(x, replaced), 1e-5);
  expect_gradients(logits, {x, rows, table});
}

TEST(Linear, InBf16RoundsItsOperandsAndThoseOfItsGradients) {
  const auto rounded = [](const Tensor& t) { return t.to(DType::bf16).to(DType::f32); };
  const Tensor x = random_tensor({5, 40}, 1), w = random_tensor({7, 40}, 2), g = random_tensor({5, 7}, 3);
  const auto run = [&](const Tensor& in, const Tensor& weight, const Tensor& dy, Products products) {
    Tensor a = in.clone(), b = weight.dtype() == DType::f32 ? weight.clone() : weight;
    a.set_requires_grad(true);
    if (b.dtype() == DType::f32) b.set_requires_grad(true);
    const Tensor y = linear(a, b, {}, products);
    tensor::backward(y, dy);
    return std::vector<Tensor>{y, a.grad(), b.dtype() == DType::f32 ? b.grad() : Tensor()};
  };
  const auto wanted = run(rounded(x), rounded(w), rounded(g), Products::f32);
  const auto found = run(x, w, g, Products::bf16);
  for (size_t i = 0; i < 3; ++i) expect_close(found[i], wanted[i], 1e-5);
  const auto frozen = run(x, w.to(DType::bf16), g, Products::bf16);
  for (size_t i = 0; i < 2; ++i) expect_close(frozen[i], wanted[i], 1e-5);
}

TEST(Dropout, LeavesTheShareOutAndRepeatsByKey) {
  const Tensor x = Tensor::full({100, 100}, 1);
  const Tensor y = dropout(x, 0.25f, 7);
  int64_t zeros = 0;
  for (const float v : y.to_vector()) {
    EXPECT_TRUE(v == 0 || std::fabs(v - 1 / 0.75f) < 1e-6f);
    zeros += v == 0;
  }
  EXPECT_NEAR(static_cast<double>(zeros), 2500, 150);
  check::expect_same_bits(dropout(x, 0.25f, 7), y);
  EXPECT_NE(dropout(x, 0.25f, 8).to_vector(), y.to_vector());
  expect_gradients([](const std::vector<Tensor>& in) { return dropout(in[0], 0.5f, 3); },
                   {random_tensor({4, 6}, 5)});
}

// Each code layout: the gradient is dy times the very weights that packed_weight_at shows.
class PackedGradient : public testing::TestWithParam<DType> {};

TEST_P(PackedGradient, IsDyTimesTheWeight) {
  const int64_t n = 37, k = 256, rows = 5;
  // Any bytes are a valid block, with scales kept small: those are halves with exponent below 8.
  Tensor stored = Tensor::empty({n, k}, GetParam());
  std::mt19937 random(4);
  if (tensor::is_float(GetParam())) {
    stored = random_tensor({n, k}, 9).to(GetParam());
  } else {
    for (int64_t i = 0; i < stored.nbytes(); ++i)
      stored.bytes()[i] = static_cast<std::byte>(random() & 0x2f);
  }
  Tensor x = random_tensor({rows, k}, 1);
  x.set_requires_grad(true);
  const PackedWeight weight({stored}, PackedWeight::Compute::stored);
  const Tensor g = random_tensor({rows, n}, 2);
  tensor::backward(linear(x, weight), g);
  const PackedWeight wide({stored}, PackedWeight::Compute::f32);
  Tensor identity = Tensor::zeros({k, k});
  for (int64_t i = 0; i < k; ++i) identity.f32()[i * k + i] = 1;
  const Tensor columns = linear(identity, wide);  // [k, n]: the weight transposed
  Tensor want = Tensor::zeros({rows, k});
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < k; ++c)
      for (int64_t j = 0; j < n; ++j)
        want.f32()[r * k + c] += g.f32()[r * n + j] * columns.f32()[c * n + j];
  float largest = 0;
  for (const float v : want.to_vector()) largest = std::max(largest, std::fabs(v));
  ASSERT_GT(largest, 0);
  for (int64_t i = 0; i < want.numel(); ++i)
    ASSERT_NEAR(x.grad().f32()[i], want.f32()[i], 1e-4f * largest) << i;
}

// Many rows are shared by threads, few share the outputs: a row's bits are the same.
TEST(PackedLinear, UnpacksForManyRowsWhatItDoesForFew) {
  const int64_t n = 70, k = 96, rows = 128 * base::num_threads() + 5;
  const auto quantized = [&](int64_t count, uint64_t seed) {
    Tensor stored = Tensor::empty({count, k}, DType::q8_0);
    std::mt19937 random(seed);
    for (int64_t i = 0; i < stored.nbytes(); ++i) stored.bytes()[i] = static_cast<std::byte>(random() & 0x2f);
    return stored;
  };
  const PackedWeight weight({quantized(n - 16, 1), quantized(16, 2)}, PackedWeight::Compute::f32);
  const Tensor x = random_tensor({rows, k}, 1), g = random_tensor({rows, n}, 2), bias = random_tensor({n}, 3);
  const auto run = [&](int64_t begin, int64_t count) {
    Tensor part = x.rows(begin, count).clone();
    part.set_requires_grad(true);
    const Tensor y = linear(part, weight, bias);
    tensor::backward(y, g.rows(begin, count).clone());
    return std::pair{y, part.grad()};
  };
  const auto [y, dx] = run(0, rows);
  for (int64_t begin = 0; begin < rows; begin += 50) {
    const int64_t count = std::min<int64_t>(50, rows - begin);
    const auto [few, dfew] = run(begin, count);
    check::expect_same_bits(few, y.rows(begin, count));
    check::expect_same_bits(dfew, dx.rows(begin, count));
  }
}

INSTANTIATE_TEST_SUITE_P(Types, PackedGradient,
                         testing::Values(DType::f32, DType::f16, DType::bf16, DType::q4_0,
                                         DType::q4_1, DType::q5_0, DType::q5_1, DType::q8_0,
                                         DType::q2_k, DType::q3_k, DType::q4_k, DType::q5_k,
                                         DType::q6_k),
                         [](const auto& param) { return std::string(dtype_name(param.param)); });

TEST(Attention, TextsInARowSeeOnlyThemselves) {
  const int64_t lengths[] = {70, 1, 66, 130}, total = 267;
  const Tensor q = random_tensor({1, total, 4, 8}, 1), k = random_tensor({1, total, 2, 8}, 2);
  const Tensor v = random_tensor({1, total, 2, 8}, 3), g = random_tensor(q.shape(), 4);
  Tensor first = Tensor::empty({1, total}, DType::i32);
  const auto run = [&](int64_t begin, int64_t count, AttentionOptions options) {
    std::vector<Tensor> in;
    for (const Tensor* x : {&q, &k, &v}) {
      Tensor part = x->view({total, x->size(2), 8}).rows(begin, count).view(
          {1, count, x->size(2), 8});
      in.push_back(part.clone());
      in.back().set_requires_grad(true);
    }
    Tensor y = attention(in[0], in[1], in[2], options);
    tensor::backward(y, g.view({total, 4, 8}).rows(begin, count).view({1, count, 4, 8}));
    return std::vector<Tensor>{y, in[0].grad(), in[1].grad(), in[2].grad()};
  };
  int64_t at = 0;
  for (const int64_t length : lengths) {
    std::fill_n(first.data<int32_t>() + at, length, static_cast<int32_t>(at));
    at += length;
  }
  for (const int64_t window : {0, 20}) {
    AttentionOptions options{.scale = 0.4f, .window = window};
    options.alibi_slopes = {0.1f, 0.2f, 0.3f, 0.4f};
    AttentionOptions together = options;
    together.first_keys = first;
    const std::vector<Tensor> all = run(0, total, together);
    at = 0;
    for (const int64_t length : lengths) {
      const std::vector<Tensor> one = run(at, length, options);
      for (size_t i = 0; i < 4; ++i) {
        const int64_t width = all[i].numel() / total;
        expect_close(all[i].view({total, width}).rows(at, length),
                     one[i].view({length, width}), 1e-5);
      }
      at += length;
    }
  }
  first.data<int32_t>()[5] = 3;
  EXPECT_NE(check::error_of([&] { run(0, total, {.first_keys = first}); }).find("first key"),
            std::string::npos);
}

TEST(CrossEntropyInPieces, EqualsTheWhole) {
  const std::vector<int32_t> ids = {3, kIgnoreIndex, 0, 6, 1, kIgnoreIndex, kIgnoreIndex, 2, 5};
  const Tensor targets = Tensor::from_ids(ids, {9});
  const LogitsOf logits_of = [](const Tensor& x, const std::vector<Tensor>& w) {
    return softcap(linear(x, w[0], w[1]), 3);
  };
  Tensor x = random_tensor({9, 5}, 1), w = random_tensor({7, 5}, 2), b = random_tensor({7}, 3);
  for (const int64_t rows : {1, 2, 4, 100}) {
    std::vector<Tensor> gradients;
    for (const bool pieces : {false, true}) {
      for (Tensor* t : {&x, &w, &b}) {
        t->set_requires_grad(true);
        t->set_grad({});
      }
      const Tensor loss = pieces ? cross_entropy_in_pieces(logits_of, x, {w, b}, targets, rows)
                                 : cross_entropy(logits_of(x, {w, b}), targets);
      tensor::backward(loss, Tensor::full({1}, 0.7f));
      for (const Tensor* t : {&x, &w, &b}) gradients.push_back(t->grad());
      gradients.push_back(loss);
    }
    for (size_t i = 0; i < 4; ++i) expect_close(gradients[i + 4], gradients[i], 1e-6);
  }
  const tensor::NoGrad no_grad;
  expect_close(cross_entropy_in_pieces(logits_of, x, {w, b}, targets, 2),
               cross_entropy(logits_of(x, {w, b}), targets), 1e-6);
}

}  // namespace
}  // namespace sumi::ops
