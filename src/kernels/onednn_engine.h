// What the files that use oneDNN share. Only kernels/onednn*.cc include this.
#pragma once

#include "kernels/onednn_library.h"

// What oneDNN's C++ header calls its C functions by.
#define SUMI_DNNL(name) ::sumi::kernels::onednn::library().name
#define dnnl_convolution_backward_data_desc_init SUMI_DNNL(dnnl_convolution_backward_data_desc_init)
#define dnnl_convolution_backward_weights_desc_init SUMI_DNNL(dnnl_convolution_backward_weights_desc_init)
#define dnnl_convolution_forward_desc_init SUMI_DNNL(dnnl_convolution_forward_desc_init)
#define dnnl_engine_create SUMI_DNNL(dnnl_engine_create)
#define dnnl_engine_destroy SUMI_DNNL(dnnl_engine_destroy)
#define dnnl_matmul_desc_init SUMI_DNNL(dnnl_matmul_desc_init)
#define dnnl_memory_create SUMI_DNNL(dnnl_memory_create)
#define dnnl_memory_desc_equal SUMI_DNNL(dnnl_memory_desc_equal)
#define dnnl_memory_desc_get_size SUMI_DNNL(dnnl_memory_desc_get_size)
#define dnnl_memory_desc_init_by_strides SUMI_DNNL(dnnl_memory_desc_init_by_strides)
#define dnnl_memory_desc_init_by_tag SUMI_DNNL(dnnl_memory_desc_init_by_tag)
#define dnnl_memory_destroy SUMI_DNNL(dnnl_memory_destroy)
#define dnnl_memory_get_engine SUMI_DNNL(dnnl_memory_get_engine)
#define dnnl_memory_get_memory_desc SUMI_DNNL(dnnl_memory_get_memory_desc)
#define dnnl_post_ops_append_eltwise SUMI_DNNL(dnnl_post_ops_append_eltwise)
#define dnnl_post_ops_append_sum SUMI_DNNL(dnnl_post_ops_append_sum)
#define dnnl_post_ops_create SUMI_DNNL(dnnl_post_ops_create)
#define dnnl_post_ops_destroy SUMI_DNNL(dnnl_post_ops_destroy)
#define dnnl_primitive_attr_create SUMI_DNNL(dnnl_primitive_attr_create)
#define dnnl_primitive_attr_destroy SUMI_DNNL(dnnl_primitive_attr_destroy)
#define dnnl_primitive_attr_set_post_ops SUMI_DNNL(dnnl_primitive_attr_set_post_ops)
#define dnnl_primitive_create SUMI_DNNL(dnnl_primitive_create)
#define dnnl_primitive_desc_destroy SUMI_DNNL(dnnl_primitive_desc_destroy)
#define dnnl_primitive_desc_iterator_create SUMI_DNNL(dnnl_primitive_desc_iterator_create)
#define dnnl_primitive_desc_iterator_destroy SUMI_DNNL(dnnl_primitive_desc_iterator_destroy)
#define dnnl_primitive_desc_iterator_fetch SUMI_DNNL(dnnl_primitive_desc_iterator_fetch)
#define dnnl_primitive_desc_query SUMI_DNNL(dnnl_primitive_desc_query)
#define dnnl_primitive_desc_query_md SUMI_DNNL(dnnl_primitive_desc_query_md)
#define dnnl_primitive_destroy SUMI_DNNL(dnnl_primitive_destroy)
#define dnnl_primitive_execute SUMI_DNNL(dnnl_primitive_execute)
#define dnnl_reorder_primitive_desc_create SUMI_DNNL(dnnl_reorder_primitive_desc_create)
#define dnnl_sgemm SUMI_DNNL(dnnl_sgemm)
#define dnnl_stream_create SUMI_DNNL(dnnl_stream_create)
#define dnnl_stream_destroy SUMI_DNNL(dnnl_stream_destroy)
#define dnnl_stream_wait SUMI_DNNL(dnnl_stream_wait)
#define dnnl_version SUMI_DNNL(dnnl_version)

#include <oneapi/dnnl/dnnl.hpp>

namespace sumi::kernels::onednn {

inline dnnl::engine& engine() {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

}  // namespace sumi::kernels::onednn
