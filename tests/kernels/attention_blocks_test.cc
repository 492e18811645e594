// Every instruction set's attention of query blocks against the naive twin.
#include "kernels/attention_blocks.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/kernel_copies.h"
#include "kernels/naive.h"
#include "kernels/random_values.h"

namespace sumi::kernels {

SUMI_EMULATED_COPIES(AttentionBlockKernels, kAttentionBlocks)

namespace {

TEST(AttentionBlocks, AgreesWithNaive) {
  for (const auto& copy : kernel_copies<AttentionBlockKernels>(
           attention_block_kernels_for, avx512_emulated::kAttentionBlocks,
           avx512_bf16_emulated::kAttentionBlocks))
    for (const int64_t size : {1, 5, 40, 64})
      for (const int64_t keys : {1, 77, 128, 300})
        for (const int64_t queries : {int64_t{1}, copy.table->block - 3, copy.table->block}) {
          SCOPED_TRACE(copy.name + ", head " + std::to_string(size) + ", keys " +
                       std::to_string(keys));
          const auto q = normal_values(queries * size, 1, 2), k = normal_values(keys * size, 2);
          const auto v = normal_values(keys * size, 3);
          const std::vector<float> none(static_cast<size_t>(queries * keys));
          std::vector<float> got(q.size()), want(q.size()), lse(static_cast<size_t>(queries));
          std::vector<float> scratch(static_cast<size_t>(copy.table->scratch_floats(size)));
          copy.table->attend({queries, keys, size, 0.3f, q.data(), size, k.data(), v.data(), size,
                              got.data(), size, lse.data(), scratch.data()});
          naive::attention({queries, keys, size, 0.3f, 0, none.data()}, q.data(), k.data(),
                           v.data(), want.data());
          for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-5);
          for (int64_t t = 0; t < queries; ++t) {
            double sum = 0;
            for (int64_t s = 0; s < keys; ++s) {
              double score = 0;
              for (int64_t d = 0; d < size; ++d)
                score += double{q[static_cast<size_t>(t * size + d)]} *
                         k[static_cast<size_t>(s * size + d)];
              sum += std::exp(0.3f * score);
            }
            ASSERT_NEAR(lse[static_cast<size_t>(t)], std::log(sum), 1e-4);
          }
        }
}

}  // namespace
}  // namespace sumi::kernels
