"""Writes tests/data/language/gguf_*/: tiny GGUF files as llama.cpp's converter lays them out, and what transformers
computes in float32 with the dequantized weights (the same expected.safetensors as language.py's).

LLaMA's query and key rows are permuted, because GGUF's LLaMA turns neighbouring pairs. Block types that the gguf
package cannot quantize (the K types) get random blocks with a sensible scale.
"""

import sys
import zlib

import gguf
import numpy as np
import torch
import transformers
from gguf import GGMLQuantizationType as Q

from language import OUT, expect, gpt2, llama, qwen2, randomize
from safetensors.torch import save_file

LLAMA_NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "model.layers.": "blk.", "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
GPT2_NAMES = {
    "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down",
    "ln_1": "attn_norm", "ln_2": "ffn_norm", "ln_f": "output_norm", "wte": "token_embd", "wpe": "position_embd",
    "transformer.h.": "blk.", "transformer.": ""}

K_TYPES = llama(hidden_size=256, intermediate_size=256, num_hidden_layers=1, num_attention_heads=8,
                num_key_value_heads=2, tie_word_embeddings=True, max_position_embeddings=256, rope_parameters={
                    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 32, "rope_theta": 10000.0}, rope_theta=None)
LEGACY = dict(hidden_size=64, intermediate_size=96)

# name -> (config, types of the weights, in turn)
CASES = {
    "gguf_llama_f32": (llama(rope_scaling={
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}), [Q.F32]),
    "gguf_llama_q8_0": (llama(**LEGACY), [Q.Q8_0]),
    "gguf_llama_q4_0": (llama(**LEGACY, rope_scaling={"rope_type": "linear", "factor": 4.0}), [Q.Q4_0]),
    "gguf_llama_mixed": (llama(**LEGACY, tie_word_embeddings=True), [Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.F16, Q.BF16]),
    "gguf_llama_k": (K_TYPES, [Q.Q4_K, Q.Q6_K, Q.Q5_K, Q.Q3_K, Q.Q2_K]),
    "gguf_qwen2": (qwen2(tie_word_embeddings=True), [Q.BF16]),
    "gguf_gpt2": (gpt2(), [Q.F16]),
}


def random_blocks(shape, kind):
    """Bytes of a random K-type tensor whose values have a standard deviation near 1/16."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = np.random.randint(0, 256, (int(np.prod(shape)) // block, size), dtype=np.uint8)
    # Where the f16 scales lie, from the end of ggml-common.h's block structures.
    scales = {Q.Q2_K: (80, 82), Q.Q3_K: (108,), Q.Q4_K: (0, 2), Q.Q5_K: (0, 2), Q.Q6_K: (208,)}[kind]
    for offset in scales:
        blocks[:, offset:offset + 2] = np.full((len(blocks), 1), 1, np.float16).view(np.uint8)
    deviation = gguf.dequantize(blocks, kind).std()
    d = (np.random.rand(len(blocks), 1) * 0.5 + 0.75) / 16 / deviation
    for offset in scales:
        blocks[:, offset:offset + 2] = d.astype(np.float16).view(np.uint8)
    if len(scales) == 2:  # the minimum: centre the block
        low = {Q.Q2_K: (80,), Q.Q4_K: (0,), Q.Q5_K: (0,)}[kind][0]
        blocks[:, low + 2:low + 4] = (d * {Q.Q2_K: 1.5, Q.Q4_K: 7.5, Q.Q5_K: 15.5}[kind]).astype(np.float16).view(np.uint8)
    return blocks.reshape(*shape[:-1], -1)


def encode(value, kind):
    if kind in (Q.Q2_K, Q.Q3_K, Q.Q4_K, Q.Q5_K, Q.Q6_K):
        return random_blocks(value.shape, kind)
    return gguf.quantize(value, kind)


def permute(w, heads):
    return np.ascontiguousarray(w.reshape(heads, 2, w.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(w.shape))


def unpermute(w, heads):
    return np.ascontiguousarray(w.reshape(heads, w.shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(w.shape))


def write_metadata(writer, config):
    writer.add_context_length(getattr(config, "max_position_embeddings", None) or config.n_positions)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    if config.model_type == "gpt2":
        writer.add_feed_forward_length(4 * config.hidden_size)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        return
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    rope = config.rope_parameters
    writer.add_rope_freq_base(rope["rope_theta"])
    if config.model_type == "llama":
        writer.add_rope_dimension_count(config.head_dim)
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    elif rope["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])


def write_case(name):
    settings, kinds = CASES[name]
    torch.manual_seed(zlib.crc32(name.encode()))
    np.random.seed(zlib.crc32(name.encode()))
    config = transformers.AutoConfig.for_model(**settings)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    randomize(model, torch.float32)
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(folder / "model.gguf", config.model_type)
    write_metadata(writer, config)
    if config.model_type == "llama" and config.rope_parameters["rope_type"] == "llama3":
        plain = config.rope_parameters["rope_theta"] ** -(torch.arange(0, config.head_dim, 2) / config.head_dim)
        writer.add_tensor("rope_freqs.weight", (plain / model.model.rotary_emb.inv_freq).float().numpy())
    names = GPT2_NAMES if config.model_type == "gpt2" else LLAMA_NAMES
    turn = 0
    with torch.no_grad():
        for parameter, p in model.named_parameters():
            target = parameter
            for before, after in names.items():
                target = target.replace(before, after)
            value = p.numpy().copy()
            if value.ndim == 1 or "position_embd" in target:
                writer.add_tensor(target, value)
                continue
            transposed = config.model_type == "gpt2" and "token_embd" not in target
            if transposed:
                value = np.ascontiguousarray(value.T)
            heads = {"attn_q": config.num_attention_heads, "attn_k": getattr(config, "num_key_value_heads", 0)}.get(
                target.split(".")[-2]) if config.model_type == "llama" else None
            if heads:
                value = permute(value, heads)
            kind = kinds[turn % len(kinds)]
            turn += 1
            data = encode(value, kind)
            writer.add_tensor(target, data, raw_dtype=kind)
            value = gguf.dequantize(data, kind).astype(np.float32)
            if heads:
                value = unpermute(value, heads)
            p.copy_(torch.from_numpy(np.ascontiguousarray(value.T if transposed else value)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(expect(model, 30, False), folder / "expected.safetensors")


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    for case in sys.argv[1:] or CASES:
        write_case(case)
        print(case, sum(f.stat().st_size for f in (OUT / case).iterdir()))
