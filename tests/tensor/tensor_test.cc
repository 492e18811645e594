#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "tensor/block_cache.h"

namespace sumi::tensor {
namespace {

// The message of the Error that body throws.
template <class Body>
std::string error_of(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Tensor, ShapesAndSizes) {
  const Tensor x = Tensor::zeros({2, 3, 4});
  EXPECT_EQ(x.numel(), 24);
  EXPECT_EQ(x.dim(), 3);
  EXPECT_EQ(x.size(1), 3);
  EXPECT_EQ(x.size(-1), 4);
  EXPECT_EQ(x.nbytes(), 96);
  EXPECT_EQ(x.to_vector(), std::vector<float>(24, 0.0f));
  EXPECT_EQ(Tensor::zeros({}).numel(), 1);
  EXPECT_EQ(Tensor::zeros({0, 5}).numel(), 0);
  EXPECT_EQ(Tensor::empty({2, 64}, DType::q4_1).nbytes(), 2 * 2 * 20);
  EXPECT_FALSE(Tensor().defined());
  EXPECT_EQ(shape_string({2, 3}), "[2, 3]");
}

TEST(Tensor, WrongSizesAreErrors) {
  EXPECT_EQ(error_of([] { element_count({2, -1}); }), "shape [2, -1]: negative size");
  EXPECT_NE(error_of([] {
              element_count({int64_t{1} << 40, int64_t{1} << 40});
            }).find("overflows"),
            std::string::npos);
  // A zero must not hide an overflow of the other sizes.
  EXPECT_NE(error_of([] {
              element_count({0, int64_t{1} << 40, int64_t{1} << 40});
            }).find("overflows"),
            std::string::npos);
  EXPECT_NE(error_of([] { byte_count({int64_t{1} << 61}, DType::f64); }).find("overflows"),
            std::string::npos);
  EXPECT_EQ(error_of([] {
              byte_count({4, 33}, DType::q8_0);
            }),
            "shape [4, 33]: the last size of a q8_0 tensor must be a multiple of 32");
  EXPECT_EQ(error_of([] {
              Tensor::from({1, 2, 3}, {2, 2});
            }),
            "tensor of shape [2, 2]: 3 values given");
  EXPECT_EQ(error_of([] { Tensor::from_ids({1}, {2}); }), "tensor of shape [2]: 1 ids given");
  EXPECT_EQ(error_of([] { Tensor::zeros({2, 2}).size(2); }), "tensor of shape [2, 2]: no axis 2");
  EXPECT_EQ(error_of([] { Tensor::zeros({2}).data<int32_t>(); }),
            "tensor of f32 [2] read as another element type");
}

TEST(Tensor, ViewsShareElements) {
  Tensor x = Tensor::from({0, 1, 2, 3, 4, 5}, {3, 2});
  Tensor flat = x.view({6}), middle = x.rows(1, 2), copy = x.clone();
  x.f32()[3] = 30;
  EXPECT_EQ(flat.f32()[3], 30);
  EXPECT_EQ(middle.to_vector(), (std::vector<float>{2, 30, 4, 5}));
  EXPECT_EQ(copy.f32()[3], 3);
  EXPECT_FALSE(x.sole_owner());
  EXPECT_TRUE(copy.sole_owner());
  x = Tensor();  // the views keep the elements alive
  EXPECT_EQ(flat.f32()[5], 5);
  EXPECT_NE(error_of([&] { flat.view({5}); }).find("no view of shape [5]"), std::string::npos);
  EXPECT_NE(error_of([&] { middle.rows(1, 2); }).find("rows: [1, 1 + 2)"), std::string::npos);
  EXPECT_NE(error_of([&] { middle.rows(-1, 1); }).find("rows:"), std::string::npos);
  // The owner of a view_of lives as long as the tensor.
  auto owner = std::make_shared<std::vector<float>>(std::vector<float>{7, 8});
  const Tensor mapped =
      Tensor::view_of(owner, reinterpret_cast<const std::byte*>(owner->data()), {2}, DType::f32);
  owner.reset();
  EXPECT_EQ(mapped.to_vector(), (std::vector<float>{7, 8}));
}

TEST(Tensor, QuantizedViewsKeepBlocksWhole) {
  Tensor x = Tensor::zeros({4, 64}, DType::q4_0);
  x.bytes()[2 * 36] = std::byte{9};  // the third row
  EXPECT_EQ(x.rows(2, 1).bytes()[0], std::byte{9});
  EXPECT_EQ(x.view({8, 32}).nbytes(), x.nbytes());
  EXPECT_NE(error_of([&] { x.view({16, 16}); }).find("multiple of 32"), std::string::npos);
  EXPECT_NE(error_of([&] { x.to(DType::f32); }).find("q4_0"), std::string::npos);
}

TEST(Tensor, Conversions) {
  const std::vector<float> values = {0, 1, -2.5f, 65504, 1e-7f, 3.14159265f};
  const Tensor x = Tensor::from(values, {6});
  EXPECT_EQ(x.to(DType::f32).to_vector(), values);
  const auto half = x.to(DType::f16).to_vector(), brief = x.to(DType::bf16).to_vector();
  EXPECT_EQ(half[3], 65504);
  EXPECT_NEAR(half[4], 1e-7f, 3e-8);
  EXPECT_EQ(half[5], 3.140625f);
  EXPECT_EQ(brief[2], -2.5f);
  EXPECT_EQ(brief[5], 3.140625f);
  EXPECT_EQ(x.to(DType::bf16).to(DType::f32).to_vector(), brief);
  EXPECT_NE(error_of([&] { x.to(DType::i32); }).find("only f32, f16 and bf16"), std::string::npos);
}

TEST(BlockCache, HandsBlocksOutAgain) {
  release_cached_blocks();
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{256}, size_t{257}, size_t{5000},
                             kLargestCachedBlock, kLargestCachedBlock + 1}) {
    std::shared_ptr<std::byte> block = allocate_block(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block.get()) % base::kAlignment, 0u);
    std::memset(block.get(), 1, bytes);
  }
  const size_t waiting = cached_block_bytes();
  EXPECT_LE(waiting, 2 * kLargestCachedBlock);
  allocate_block(5000);
  EXPECT_EQ(cached_block_bytes(), waiting);
  release_cached_blocks();
  EXPECT_EQ(cached_block_bytes(), 0u);
}

// Pages of large blocks make up others of any size; small ones wait by their size.
TEST(BlockCache, KeepsPagesOfBlocksOfAllSizes) {
  if (!kBlocksAreCached) GTEST_SKIP() << "every block is fresh here";
  release_cached_blocks();
  const size_t mega = size_t{1} << 20;
  {
    const KeepBlocks keep;
    auto first = allocate_block(64 * mega), second = allocate_block(33 * mega);  // of which 34 are taken
    std::memset(first.get(), 1, 64 * mega);
    std::memset(second.get(), 2, 33 * mega);
    first.reset();
    EXPECT_EQ(cached_block_bytes(), 64 * mega);
    const auto part = allocate_block(20 * mega);  // the beginning of it
    EXPECT_EQ(cached_block_bytes(), 44 * mega);
    EXPECT_EQ(part.get()[20 * mega - 1], std::byte(1));
    second.reset();
    const auto joined = allocate_block(90 * mega);  // all 78 that wait, and 12 new ones
    EXPECT_EQ(cached_block_bytes(), 0u);
    EXPECT_EQ(joined.get()[0], std::byte(1));
    EXPECT_EQ(joined.get()[44 * mega], std::byte(2));
    EXPECT_EQ(joined.get()[89 * mega], std::byte(0));
    const auto small = allocate_block(1 * mega);
    allocate_block(2 * mega);
    EXPECT_EQ(cached_block_bytes(), 2 * mega);
  }
  EXPECT_EQ(cached_block_bytes(), 0u);
}

// Random sizes given back in random order: no byte of a block is changed by another.
TEST(BlockCache, MovedPagesDoNotOverlap) {
  if (!kBlocksAreCached) GTEST_SKIP() << "every block is fresh here";
  const KeepBlocks keep;
  std::vector<std::pair<size_t, std::shared_ptr<std::byte>>> held;
  for (uint32_t i = 0; i < 400; ++i) {
    const size_t bytes = kMovableBlock + (i * 2654435761u) % (size_t{40} << 20);
    auto block = allocate_block(bytes);
    for (size_t j = 0; j < bytes; j += 4096) block.get()[j] = static_cast<std::byte>(i);
    held.emplace_back(i, std::move(block));
    if (held.size() < 9) continue;
    const size_t at = i * 40503u % held.size();
    const auto [number, leaving] = std::move(held[at]);
    held.erase(held.begin() + static_cast<std::ptrdiff_t>(at));
    const size_t size = kMovableBlock + (static_cast<uint32_t>(number) * 2654435761u) % (size_t{40} << 20);
    for (size_t j = 0; j < size; j += 4096) ASSERT_EQ(leaving.get()[j], static_cast<std::byte>(number)) << i << " " << j;
  }
}

TEST(BlockCache, BlocksInUseDoNotOverlap) {
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([t, &wrong] {
      std::vector<std::pair<size_t, std::shared_ptr<std::byte>>> held;
      for (int i = 0; i < 3000; ++i) {
        const size_t bytes = static_cast<size_t>(1 + (i * 7919) % 9000);
        held.emplace_back(bytes, allocate_block(bytes));
        std::memset(held.back().second.get(), t, bytes);
        if (held.size() < 16) continue;
        for (const auto& [size, block] : held)
          for (size_t j = 0; j < size; j += 97)
            if (block.get()[j] != std::byte(t)) ++wrong[static_cast<size_t>(t)];
        held.erase(held.begin(), held.begin() + 9);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4));
}

}  // namespace
}  // namespace sumi::tensor
