#include "ops/cached_attention.h"

#include <algorithm>
#include <cstring>

#include "base/threads.h"
#include "kernels/attention.h"

namespace sumi::ops {

static_assert(KvCache::kPage == kernels::kAttentionPage);

KvCache::KvCache(int64_t num_kv_heads, int64_t head_dim) : heads_(num_kv_heads), head_dim_(head_dim) {
  if (heads_ < 1 || head_dim_ < 1) fail("key/value cache: {} heads of {}", heads_, head_dim_);
}

void KvCache::append(const Tensor& k, const Tensor& v) {
  if (k.dim() != 3 || k.size(1) != heads_ || k.size(2) != head_dim_ || v.shape() != k.shape())
    fail("key/value cache of {} heads of {}: k {} and v {} do not fit", heads_, head_dim_,
         tensor::shape_string(k.shape()), tensor::shape_string(v.shape()));
  const int64_t count = k.size(0), row = heads_ * head_dim_;
  const size_t bytes = static_cast<size_t>(page_floats()) * sizeof(float);
  const auto new_page = [&] {
    const std::shared_ptr<std::byte> page = base::allocate(bytes);
    return std::shared_ptr<float>(page, reinterpret_cast<float*>(page.get()));
  };
  if (count > 0 && length_ % kPage != 0 && pages_.back().use_count() > 1) {  // a copy of this cache has it too
    const std::shared_ptr<float> page = new_page();
    std::memcpy(page.get(), pages_.back().get(), bytes);
    pages_.back() = page;
  }
  while (static_cast<int64_t>(pages_.size()) * kPage < length_ + count) {
    pages_.push_back(new_page());
    std::memset(pages_.back().get(), 0, bytes);
  }
  const float *new_keys = k.f32(), *new_values = v.f32();
  const auto copy_head = [&](int64_t h) {
    for (int64_t t = 0; t < count; ++t) {
      const int64_t position = length_ + t, slot = position % kPage;
      float* keys = pages_[static_cast<size_t>(position / kPage)].get() + h * 2 * head_dim_ * kPage;
      float* values = keys + head_dim_ * kPage;
      const float* from = new_keys + t * row + h * head_dim_;
      for (int64_t d = 0; d < head_dim_; ++d) keys[d * kPage + slot] = from[d];
      std::memcpy(values + slot * head_dim_, new_values + t * row + h * head_dim_,
                  static_cast<size_t>(head_dim_) * sizeof(float));
    }
  };
  base::parallel_for(heads_, count < 8 ? heads_ : 1, [&](int64_t begin, int64_t end) {
    for (int64_t h = begin; h < end; ++h) copy_head(h);
  });
  length_ += count;
}

void KvCache::truncate(int64_t length) {
  if (length < 0 || length > length_)
    fail("key/value cache: cannot go from {} positions to {}", length_, length);
  length_ = length;
  pages_.resize(static_cast<size_t>((length + kPage - 1) / kPage));
}

size_t KvCache::bytes() const { return pages_.size() * static_cast<size_t>(page_floats()) * sizeof(float); }

Tensor cached_attention(const Tensor& q, const KvCache& cache, const AttentionOptions& options) {
  if (q.dim() != 3 || q.size(2) != cache.head_dim() || q.size(1) % cache.num_kv_heads() != 0)
    fail("cached attention: q {} does not fit {} key/value heads of {}", tensor::shape_string(q.shape()),
         cache.num_kv_heads(), cache.head_dim());
  const int64_t count = q.size(0), heads = q.size(1), head_dim = q.size(2);
  const int64_t group = heads / cache.num_kv_heads();
  if (cache.length() == 0) fail("cached attention: nothing is cached");
  if (options.causal && (options.query_offset < 0 || options.query_offset + count > cache.length()))
    fail("cached attention: queries at {} to {}, but {} positions are cached", options.query_offset,
         options.query_offset + count - 1, cache.length());
  if (options.prefix < 0 || options.prefix > cache.length())
    fail("cached attention: a prefix of {} keys, but {} are cached", options.prefix, cache.length());
  if (!options.alibi_slopes.empty() && static_cast<int64_t>(options.alibi_slopes.size()) != heads)
    fail("cached attention: {} ALiBi slopes for {} heads", options.alibi_slopes.size(), heads);

  const Tensor& bias = options.distance_bias;
  if (bias.defined() && (bias.dim() != 2 || bias.size(0) != heads || bias.size(1) % 2 == 0 ||
                         bias.size(1) < 2 * cache.length() - 1))
    fail("cached attention: distance bias {}, expected [{}, {}] or an odd number beyond",
         tensor::shape_string(bias.shape()), heads, 2 * cache.length() - 1);

  Tensor scaled = Tensor::empty(q.shape());
  Tensor out = Tensor::empty(q.shape());
  const float* queries = q.f32();
  float *scaled_queries = scaled.f32(), *outputs = out.f32();
  base::parallel_for(q.numel(), 1 << 14, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) scaled_queries[i] = queries[i] * options.scale;
  });

  // Pointers to the keys and values of each head in each page.
  const size_t pages = cache.pages().size();
  const int64_t kv_heads = cache.num_kv_heads(), half_page = head_dim * KvCache::kPage;
  std::vector<const float*> keys(pages * static_cast<size_t>(kv_heads)), values(keys.size());
  for (int64_t h = 0; h < kv_heads; ++h)
    for (size_t p = 0; p < pages; ++p) {
      const size_t at = static_cast<size_t>(h) * pages + p;
      keys[at] = cache.pages()[p].get() + h * 2 * half_page;
      values[at] = keys[at] + half_page;
    }

  // The rows of one key/value head: its `group` query heads at each position, position after position. A task takes
  // kAttentionRows of them; long prompts give the later tasks more keys, so tasks are handed out one by one.
  const int64_t rows = count * group, per_task = kernels::kAttentionRows;
  const int64_t tasks_per_head = (rows + per_task - 1) / per_task;
  const size_t scratch = static_cast<size_t>(per_task * (KvCache::kPage + head_dim + 16));
  base::parallel_tasks(kv_heads * tasks_per_head, [&](int64_t task) {
    const int64_t h = task / tasks_per_head, begin = task % tasks_per_head * per_task;
    float stack[kernels::kAttentionRows * (KvCache::kPage + 16 + 256)];
    std::vector<float> heap;
    kernels::CachedAttentionArgs args;
    args.scratch = stack;
    if (scratch > std::size(stack)) {
      heap.resize(scratch);
      args.scratch = heap.data();
    }
    args.rows = std::min(per_task, rows - begin);
    args.head_dim = head_dim;
    args.softcap = options.softcap;
    args.keys = keys.data() + static_cast<size_t>(h) * pages;
    args.values = values.data() + static_cast<size_t>(h) * pages;
    for (int64_t r = 0; r < args.rows; ++r) {
      const int64_t t = (begin + r) / group, head = h * group + (begin + r) % group;
      args.q[r] = scaled_queries + (t * heads + head) * head_dim;
      args.out[r] = outputs + (t * heads + head) * head_dim;
      const int64_t here = options.query_offset + t;
      args.last[r] = options.causal ? std::max(here, options.prefix - 1) : cache.length() - 1;
      args.first[r] = options.window > 0 ? std::max<int64_t>(0, here - options.window + 1) : 0;
      if (bias.defined()) args.bias[r] = bias.f32() + head * bias.size(1) + bias.size(1) / 2 - here;
      args.slope[r] = options.alibi_slopes.empty() ? 0 : options.alibi_slopes[static_cast<size_t>(head)];
    }
    kernels::attention_kernels().cached(args);
  });
  return out;
}

}  // namespace sumi::ops
