"""Writes the 1.1B LLaMA shape with random weights, once, in the formats that the engines read.

    make_models.py FOLDER      -> llama-1b-{Q8_0,Q4_0,Q4_K_M}.gguf, llama-1b-hf/, llama-1b-ct2/

The weights are the same in all of them (but for the order of query and key rows, which GGUF changes); the quantized
GGUF files are llama.cpp's own work. The GGUF tokenizer is a made-up byte-level BPE, there because engines
refuse a file without one; the measurements use ids.
"""

import json
import os
import shutil
import sys

import numpy

HIDDEN, LAYERS, HEADS, KV_HEADS, FFN, VOCAB, CONTEXT = 2048, 22, 32, 4, 5632, 32000, 2048
SPECIAL = ["<unk>", "<s>", "</s>"]


def byte_symbols():
    """The printable stand-ins of GPT-2's byte-level BPE, for the bytes 0 to 255."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in kept else next(others)) for byte in range(256)]


def vocabulary():
    """tokens and merges: pairs of letters, then pairs of those, until the vocabulary is full."""
    tokens = SPECIAL + byte_symbols()
    merges = []
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    pairs = [a + b for a in letters for b in letters]
    for left, right in [(p[0], p[1]) for p in pairs] + [(p, q) for p in pairs for q in pairs]:
        if len(tokens) == VOCAB:
            break
        tokens.append(left + right)
        merges.append((left, right))
    return tokens, merges


def tensors(generator):
    """GGUF name, weight: normal values of a trained model's size; norms are ones."""
    kv = HIDDEN // HEADS * KV_HEADS
    shapes = {"attn_q": (HIDDEN, HIDDEN), "attn_k": (kv, HIDDEN), "attn_v": (kv, HIDDEN),
              "attn_output": (HIDDEN, HIDDEN), "ffn_gate": (FFN, HIDDEN), "ffn_up": (FFN, HIDDEN),
              "ffn_down": (HIDDEN, FFN)}

    def normal(shape):
        return (generator.standard_normal(shape, dtype=numpy.float32) * 0.02).astype(numpy.float16)

    yield "token_embd.weight", normal((VOCAB, HIDDEN))
    for layer in range(LAYERS):
        for name, shape in shapes.items():
            yield f"blk.{layer}.{name}.weight", normal(shape)
        for name in ("attn_norm", "ffn_norm"):
            yield f"blk.{layer}.{name}.weight", numpy.ones(HIDDEN, numpy.float32)
    yield "output_norm.weight", numpy.ones(HIDDEN, numpy.float32)
    yield "output.weight", normal((VOCAB, HIDDEN))


def write_f16(path):
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("random-1.1b")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_vocab_size(VOCAB)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    tokens, merges = vocabulary()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (VOCAB - len(SPECIAL)))
    writer.add_token_merges([f"{a} {b}" for a, b in merges])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    for name, weight in tensors(numpy.random.default_rng(1)):
        writer.add_tensor(name, weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantize(source, target, kind):
    import llama_cpp

    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}")
    temporary = target + ".part"
    if llama_cpp.llama_model_quantize(source.encode(), temporary.encode(), options) != 0:
        sys.exit(f"llama.cpp could not write {target}")
    os.rename(temporary, target)


HUGGING_FACE_NAMES = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


def hugging_face_weights():
    weights = {}
    for name, weight in tensors(numpy.random.default_rng(1)):
        parts = name.split(".")
        layer = f"model.layers.{parts[1]}." if parts[0] == "blk" else ""
        weights[f"{layer}{HUGGING_FACE_NAMES[parts[-2]]}.weight"] = weight
    return weights


def write_hugging_face(folder):
    import safetensors.numpy

    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": VOCAB,
        "hidden_size": HIDDEN, "intermediate_size": FFN, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "hidden_act": "silu",
        "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2, "dtype": "float16",
    }
    temporary = new_folder(folder)
    safetensors.numpy.save_file(hugging_face_weights(), os.path.join(temporary, "model.safetensors"),
                                metadata={"format": "pt"})
    with open(os.path.join(temporary, "config.json"), "w") as file:
        json.dump(config, file, indent=1)
    os.rename(temporary, folder)


def new_folder(folder):
    """An empty folder to fill and then rename."""
    temporary = folder + ".part"
    shutil.rmtree(temporary, ignore_errors=True)
    os.makedirs(temporary)
    return temporary


def save_int8(spec, folder):
    """A CTranslate2 model's specification as an int8 model's folder."""
    spec.validate()
    spec.optimize(quantization="int8")
    temporary = new_folder(folder)
    spec.save(temporary)
    os.rename(temporary, folder)


def write_ctranslate2(folder):
    """CTranslate2's own model description, filled with the same weights and quantized to int8 by it."""
    import ctranslate2

    spec_module = ctranslate2.specs.transformer_spec
    spec = spec_module.TransformerDecoderModelSpec.from_config(
        LAYERS, HEADS, activation=ctranslate2.specs.common_spec.Activation.SWISH, pre_norm=True,
        ffn_glu=True, rms_norm=True, rotary_dim=0, rotary_interleave=False, rotary_base=10000.0,
        num_heads_kv=KV_HEADS)
    weights = {name: value.astype(numpy.float32) for name, value in hugging_face_weights().items()}
    decoder = spec.decoder
    decoder.scale_embeddings = False
    decoder.embeddings.weight = weights["model.embed_tokens.weight"]
    decoder.layer_norm.gamma = weights["model.norm.weight"]
    decoder.projection.weight = weights["lm_head.weight"]
    for i, layer in enumerate(decoder.layer):
        prefix = f"model.layers.{i}."
        attention = layer.self_attention
        attention.layer_norm.gamma = weights[prefix + "input_layernorm.weight"]
        attention.linear[0].weight = numpy.concatenate(
            [weights[f"{prefix}self_attn.{part}_proj.weight"] for part in "qkv"])
        attention.linear[1].weight = weights[prefix + "self_attn.o_proj.weight"]
        layer.ffn.layer_norm.gamma = weights[prefix + "post_attention_layernorm.weight"]
        layer.ffn.linear_0.weight = weights[prefix + "mlp.gate_proj.weight"]
        layer.ffn.linear_0_noact.weight = weights[prefix + "mlp.up_proj.weight"]
        layer.ffn.linear_1.weight = weights[prefix + "mlp.down_proj.weight"]
    tokens, _ = vocabulary()
    spec.register_vocabulary(tokens)
    spec.config.bos_token, spec.config.eos_token, spec.config.unk_token = SPECIAL[1], SPECIAL[2], SPECIAL[0]
    spec.config.layer_norm_epsilon = 1e-5
    save_int8(spec, folder)


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)

    def path(name):
        return os.path.join(folder, f"llama-1b-{name}")

    kinds = [kind for kind in ("Q8_0", "Q4_0", "Q4_K_M") if not os.path.exists(path(kind + ".gguf"))]
    if kinds:
        write_f16(path("F16.gguf"))
        for kind in kinds:
            quantize(path("F16.gguf"), path(kind + ".gguf"), kind)
        os.remove(path("F16.gguf"))
    if not os.path.exists(path("hf")):
        write_hugging_face(path("hf"))
    if not os.path.exists(path("ct2")):
        write_ctranslate2(path("ct2"))


if __name__ == "__main__":
    main()
