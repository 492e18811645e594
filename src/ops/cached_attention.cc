#include "ops/cached_attention.h"

#include <algorithm>
#include <cstring>

#include "base/half.h"
#include "base/threads.h"
#include "kernels/attention.h"

namespace sumi::ops {

static_assert(KvCache::kPage == kernels::kAttentionPage);

KvCache::KvCache(int64_t num_kv_heads, int64_t head_dim, DType dtype)
    : heads_(num_kv_heads), head_dim_(head_dim), dtype_(dtype) {
  if (heads_ < 1 || head_dim_ < 1) fail("key/value cache: {} heads of {}", heads_, head_dim_);
  if (dtype != DType::f32 && !(dtype == DType::bf16 && bf16_cache_runs()))
    fail("key/value cache: elements of {} on this processor", tensor::dtype_name(dtype));
}

int64_t KvCache::page_keys() const {
  return (dtype_ == DType::bf16 ? kernels::attention_keys_size(head_dim_) : head_dim_) * kPage;
}

int64_t KvCache::page_values() const {
  return (dtype_ == DType::bf16 ? kernels::attention_values_size(head_dim_) : head_dim_) * kPage;
}

size_t KvCache::page_bytes() const {
  return static_cast<size_t>(tensor::byte_count({heads_, page_keys() + page_values()}, dtype_));
}

template <class Element>
Element* KvCache::head_in_page(int64_t position, int64_t head) const {
  return reinterpret_cast<Element*>(pages_[static_cast<size_t>(position / kPage)].get()) +
         head * (page_keys() + page_values());
}

// `count` rows of one head, from position `begin` on, all in one page; rows of all heads follow each other.
void KvCache::put_f32(const float* keys, const float* values, int64_t begin, int64_t count, int64_t head) {
  const int64_t row = heads_ * head_dim_;
  float* const page = head_in_page<float>(begin, head);
  for (int64_t t = 0; t < count; ++t) {
    const int64_t slot = (begin + t) % kPage;
    for (int64_t d = 0; d < head_dim_; ++d) page[d * kPage + slot] = keys[t * row + d];
    std::memcpy(page + page_keys() + slot * head_dim_, values + t * row, static_cast<size_t>(head_dim_) * sizeof(float));
  }
}

void KvCache::put_bf16(const float* keys, const float* values, int64_t begin, int64_t count, int64_t head) {
  constexpr int64_t kAtOnce = 64;  // elements that are rounded together, by vectors
  const int64_t row = heads_ * head_dim_, size = kernels::attention_values_size(head_dim_);
  uint16_t *const to_keys = head_in_page<uint16_t>(begin, head), *const to_values = to_keys + page_keys();
  uint16_t rounded[kAtOnce];
  for (int64_t t = 0; t < count; ++t) {
    const int64_t slot = (begin + t) % kPage;
    for (int64_t first = 0; first < head_dim_; first += kAtOnce) {
      const int64_t some = std::min(kAtOnce, head_dim_ - first);
      for (int64_t d = 0; d < some; ++d) rounded[d] = base::float_to_bf16(keys[t * row + first + d]);
      if (some % 2 > 0) rounded[some] = 0;
      for (int64_t d = 0; d < some; d += 2) std::memcpy(to_keys + ((first + d) / 2 * kPage + slot) * 2, rounded + d, 4);
      for (int64_t d = 0; d < some; ++d) rounded[d] = base::float_to_bf16(values[t * row + first + d]);
      uint16_t* const to = to_values + (slot / 2 * size + first) * 2 + slot % 2;
      for (int64_t d = 0; d < some; ++d) to[2 * d] = rounded[d];
    }
  }
}

void KvCache::append(const Tensor& k, const Tensor& v) {
  if (k.dim() != 3 || k.size(1) != heads_ || k.size(2) != head_dim_ || v.shape() != k.shape())
    fail("key/value cache of {} heads of {}: k {} and v {} do not fit", heads_, head_dim_,
         tensor::shape_string(k.shape()), tensor::shape_string(v.shape()));
  const int64_t count = k.size(0);
  const size_t bytes = page_bytes();
  if (count > 0 && length_ % kPage != 0 && pages_.back().use_count() > 1) {  // a copy of this cache has it too
    const std::shared_ptr<std::byte> page = base::allocate(bytes);
    std::memcpy(page.get(), pages_.back().get(), bytes);
    pages_.back() = page;
  }
  while (static_cast<int64_t>(pages_.size()) * kPage < length_ + count) {
    pages_.push_back(base::allocate(bytes));
    std::memset(pages_.back().get(), 0, bytes);
  }
  const float *keys = k.f32(), *values = v.f32();
  const int64_t first_page = length_ / kPage, pages = (length_ + count + kPage - 1) / kPage - first_page;
  base::parallel_for(heads_ * pages, count < 8 ? heads_ * pages : 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t page = first_page + i / heads_, head = i % heads_;
      const int64_t from = std::max(length_, page * kPage), some = std::min(length_ + count, (page + 1) * kPage) - from;
      const int64_t at = ((from - length_) * heads_ + head) * head_dim_;
      if (dtype_ == DType::bf16) put_bf16(keys + at, values + at, from, some, head);
      else put_f32(keys + at, values + at, from, some, head);
    }
  });
  length_ += count;
}

void KvCache::truncate(int64_t length) {
  if (length < 0 || length > length_)
    fail("key/value cache: cannot go from {} positions to {}", length_, length);
  length_ = length;
  pages_.resize(static_cast<size_t>((length + kPage - 1) / kPage));
}

size_t KvCache::bytes() const { return pages_.size() * page_bytes(); }

bool bf16_cache_runs() { return kernels::cached_bf16_attention() != nullptr; }

DType cache_dtype(bool products_round) { return products_round && bf16_cache_runs() ? DType::bf16 : DType::f32; }

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

  // The keys and values of each head in each page.
  const bool in_bf16 = cache.dtype() == DType::bf16;
  const int64_t kv_heads = cache.num_kv_heads(), pages = static_cast<int64_t>(cache.pages().size());
  const int64_t keys_bytes = tensor::byte_count({cache.page_keys()}, cache.dtype());
  std::vector<const void*> keys, values;
  for (int64_t h = 0; h < kv_heads; ++h)
    for (const std::shared_ptr<std::byte>& page : cache.pages()) {
      const std::byte* head_keys = page.get() + static_cast<int64_t>(cache.page_bytes()) / kv_heads * h;
      keys.push_back(head_keys);
      values.push_back(head_keys + keys_bytes);
    }

  // The rows of one key/value head: its `group` query heads at each position, position after position. A task takes
  // some of them; long prompts give the later tasks more keys, so tasks are handed out one by one.
  const int64_t rows = count * group, per_task = in_bf16 ? kernels::kAttentionRows : 8;
  const int64_t tasks_per_head = (rows + per_task - 1) / per_task;
  const int64_t scratch = kernels::attention_scratch(head_dim);
  base::parallel_tasks(kv_heads * tasks_per_head, [&](int64_t task) {
    const int64_t h = task / tasks_per_head, begin = task % tasks_per_head * per_task;
    alignas(64) float stack[kernels::attention_scratch(256)];
    Tensor heap;
    kernels::CachedAttentionArgs args;
    args.scratch = stack;
    if (scratch > static_cast<int64_t>(std::size(stack))) {
      heap = Tensor::empty({scratch});
      args.scratch = heap.f32();
    }
    args.rows = std::min(per_task, rows - begin);
    args.head_dim = head_dim;
    args.softcap = options.softcap;
    args.keys = keys.data() + h * pages;
    args.values = values.data() + h * pages;
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
    (in_bf16 ? kernels::cached_bf16_attention() : kernels::attention_kernels().cached)(args);
  });
  return out;
}

}  // namespace sumi::ops
