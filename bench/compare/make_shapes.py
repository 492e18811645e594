"""Writes the shapes of known models with random weights, once, as Hugging Face folders in bfloat16.

    make_shapes.py FOLDER SUMI [name ...]   -> FOLDER/<name>-hf, and FOLDER/<name>-Q8_0.gguf, FOLDER/<name>-BF16.gguf
                                               (by `sumi convert`) where GGUF knows the family, FOLDER/gpt2-124m-ct2

Weights are normal with a deviation of 0.02, norms ones, biases zeros: the measurements use ids, no texts. There are no
tokenizers.
"""

import json
import os
import subprocess
import sys

from make_models import new_folder, save_int8

# name -> (config.json, whether GGUF knows the family)
SHAPES = {
    "gpt2-124m": (dict(architectures=["GPT2LMHeadModel"], model_type="gpt2", vocab_size=50257, n_embd=768, n_layer=12,
                       n_head=12, n_positions=1024, activation_function="gelu_new", layer_norm_epsilon=1e-5), True),
    "starcoder-1b": (dict(architectures=["GPTBigCodeForCausalLM"], model_type="gpt_bigcode", vocab_size=49152, n_embd=2048,
                          n_layer=24, n_head=16, n_positions=8192, n_inner=8192, multi_query=True,
                          activation_function="gelu_pytorch_tanh", layer_norm_epsilon=1e-5), True),
    "opt-1.3b": (dict(architectures=["OPTForCausalLM"], model_type="opt", vocab_size=50272, hidden_size=2048,
                      word_embed_proj_dim=2048, ffn_dim=8192, num_hidden_layers=24, num_attention_heads=32,
                      max_position_embeddings=2048, do_layer_norm_before=True, activation_function="relu"), False),
    "mpt-1b": (dict(architectures=["MptForCausalLM"], model_type="mpt", vocab_size=50368, d_model=2048, n_layers=24,
                    n_heads=16, max_seq_len=2048, expansion_ratio=4, no_bias=True,
                    attn_config=dict(alibi=True, attn_type="multihead_attention", alibi_bias_max=8)), True),
    "t5-large": (dict(architectures=["T5ForConditionalGeneration"], model_type="t5", vocab_size=32128, d_model=1024,
                      d_kv=64, d_ff=4096, num_layers=24, num_decoder_layers=24, num_heads=16,
                      relative_attention_num_buckets=32, feed_forward_proj="relu", is_encoder_decoder=True,
                      decoder_start_token_id=0, eos_token_id=1, pad_token_id=0), True),
}


def write_folder(folder, config):
    """The model as transformers makes it, so that no name is forgotten, with our random values."""
    import torch
    import transformers

    temporary = new_folder(folder)
    with open(os.path.join(temporary, "config.json"), "w") as file:
        json.dump({**config, "dtype": "bfloat16"}, file, indent=1)
    read = transformers.AutoConfig.from_pretrained(temporary)
    with torch.device("meta"):
        model = getattr(transformers, config["architectures"][0])(read)
    model = model.to(torch.bfloat16).to_empty(device="cpu")
    model.tie_weights()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.02, generator=generator)
            else:
                weight.fill_(0 if name.endswith("bias") else 1)
        for buffer in model.buffers():
            buffer.zero_()
    model.generation_config = transformers.GenerationConfig()
    model.save_pretrained(temporary)
    with open(os.path.join(temporary, "config.json"), "w") as file:  # as it was written, not as this version spells it
        json.dump({**config, "torch_dtype": "bfloat16"}, file, indent=1)
    os.rename(temporary, folder)


def write_ctranslate2(source, folder):
    import ctranslate2
    import torch
    import transformers

    loader = ctranslate2.converters.transformers.GPT2Loader()
    model = transformers.GPT2LMHeadModel.from_pretrained(source, dtype=torch.float32)
    spec = loader.get_model_spec(model)
    spec.register_vocabulary([f"t{i}" for i in range(model.config.vocab_size)])
    spec.config.bos_token = spec.config.eos_token = spec.config.unk_token = "t50256"
    save_int8(spec, folder)


def main():
    folder, sumi = sys.argv[1:3]
    os.makedirs(folder, exist_ok=True)
    for name in sys.argv[3:] or SHAPES:
        config, known_to_gguf = SHAPES[name]
        path = os.path.join(folder, name)
        if not os.path.exists(path + "-hf"):
            write_folder(path + "-hf", config)
        for kind in ("Q8_0", "BF16") if known_to_gguf else ():
            if not os.path.exists(f"{path}-{kind}.gguf"):
                subprocess.run([sumi, "convert", path + "-hf", f"{path}-{kind}.gguf", "--dtype", kind.lower()], check=True)
        if name == "gpt2-124m" and not os.path.exists(path + "-ct2"):
            write_ctranslate2(path + "-hf", path + "-ct2")


if __name__ == "__main__":
    main()
