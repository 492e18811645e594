// oneDNN's C functions, from its library when the first of them is called. Language models run without any: linked as usual,
// the library took 2 MB of every process.
#pragma once

#include <oneapi/dnnl/dnnl.h>

#define SUMI_DNNL_FUNCTIONS(X) \
  X(dnnl_convolution_backward_data_desc_init) \
  X(dnnl_convolution_backward_weights_desc_init) \
  X(dnnl_convolution_forward_desc_init) \
  X(dnnl_engine_create) \
  X(dnnl_engine_destroy) \
  X(dnnl_matmul_desc_init) \
  X(dnnl_memory_create) \
  X(dnnl_memory_desc_equal) \
  X(dnnl_memory_desc_get_size) \
  X(dnnl_memory_desc_init_by_strides) \
  X(dnnl_memory_desc_init_by_tag) \
  X(dnnl_memory_destroy) \
  X(dnnl_memory_get_engine) \
  X(dnnl_memory_get_memory_desc) \
  X(dnnl_post_ops_append_eltwise) \
  X(dnnl_post_ops_append_sum) \
  X(dnnl_post_ops_create) \
  X(dnnl_post_ops_destroy) \
  X(dnnl_primitive_attr_create) \
  X(dnnl_primitive_attr_destroy) \
  X(dnnl_primitive_attr_set_post_ops) \
  X(dnnl_primitive_create) \
  X(dnnl_primitive_desc_destroy) \
  X(dnnl_primitive_desc_iterator_create) \
  X(dnnl_primitive_desc_iterator_destroy) \
  X(dnnl_primitive_desc_iterator_fetch) \
  X(dnnl_primitive_desc_query) \
  X(dnnl_primitive_desc_query_md) \
  X(dnnl_primitive_destroy) \
  X(dnnl_primitive_execute) \
  X(dnnl_reorder_primitive_desc_create) \
  X(dnnl_sgemm) \
  X(dnnl_stream_create) \
  X(dnnl_stream_destroy) \
  X(dnnl_stream_wait) \
  X(dnnl_version)

namespace sumi::kernels::onednn {

struct Library {
#define SUMI_DNNL_MEMBER(name) decltype(&::name) name;
  SUMI_DNNL_FUNCTIONS(SUMI_DNNL_MEMBER)
#undef SUMI_DNNL_MEMBER
};

// Throws Error if the library cannot be loaded.
const Library& library();

}  // namespace sumi::kernels::onednn
