"""Writes tests/data/language/: tiny random checkpoints and what transformers computes with them.

One folder per case, as a Hugging Face user would have it (config.json, model.safetensors), plus
expected.safetensors:
  prompt_ids [T] i32, logits [T, V] f32   the prompt and the logits of all its positions
  greedy_ids [24] i32                     what greedy decoding appends to it
  nll_ids [200] i32, nll [1] f32          mean of -log p(id | ids before it) over positions 1..199
  batch_ids [2, 16] i32, loss [1] f32 and grad.<parameter>   (only some cases) mean cross entropy of
                                          predicting each next id, and its gradients
Everything is computed in float32, in eager attention. Weights, norms and biases are random and large, so that a
mistake anywhere shows. Usage: python tools/reference/language.py [case ...]
"""

import json
import pathlib
import sys
import zlib

import torch
import transformers

import families
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data" / "language"
VOCAB = 131


def llama(**changes):
    config = dict(
        architectures=["LlamaForCausalLM"], model_type="llama", vocab_size=VOCAB, hidden_size=32,
        intermediate_size=56, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        hidden_act="silu", max_position_embeddings=256, rms_norm_eps=1e-5, rope_theta=10000.0,
        tie_word_embeddings=False, bos_token_id=1, eos_token_id=2)
    config.update(changes)
    return {k: v for k, v in config.items() if v is not None}


def mistral(**changes):
    return llama(**{**dict(architectures=["MistralForCausalLM"], model_type="mistral", sliding_window=9), **changes})


def qwen2(**changes):
    return llama(**{**dict(architectures=["Qwen2ForCausalLM"], model_type="qwen2", rope_theta=1000000.0,
                           use_sliding_window=False, sliding_window=8, max_window_layers=2), **changes})


def gpt2(**changes):
    config = dict(
        architectures=["GPT2LMHeadModel"], model_type="gpt2", vocab_size=VOCAB, n_positions=208, n_ctx=208,
        n_embd=24, n_layer=2, n_head=3, activation_function="gelu_new", layer_norm_epsilon=1e-5,
        bos_token_id=0, eos_token_id=0)
    config.update(changes)
    return config


# name -> (config, options). Options: dtype of the file, prompt length, shards, gradients, base names, save_config, file.
CASES = {
    "llama": (llama(), dict(dtype="f32", gradients=True)),
    "llama_tied": (llama(tie_word_embeddings=True, num_key_value_heads=None), {}),
    "llama_sharded": (llama(num_key_value_heads=1), dict(shards=3)),
    "llama_bias": (llama(attention_bias=True, mlp_bias=True, hidden_act="gelu"), dict(dtype="f16")),
    "llama_odd": (llama(hidden_size=48, intermediate_size=77, num_attention_heads=6, num_key_value_heads=3,
                        head_dim=10, num_hidden_layers=1), {}),
    "llama_linear": (llama(rope_scaling={"type": "linear", "factor": 2.5}), {}),
    # The prompt is longer than the original maximum; greedy decoding stretches the frequencies at each step.
    "llama_dynamic": (llama(rope_scaling={"rope_type": "dynamic", "factor": 10.0}, max_position_embeddings=24), {}),
    "llama_llama3": (llama(rope_parameters={
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32, "rope_theta": 500000.0}, rope_theta=None), {}),
    "llama_yarn": (llama(rope_scaling={
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "beta_fast": 8.0}), {}),
    "mistral": (mistral(), {}),
    "mistral_full": (mistral(sliding_window=None, head_dim=12), dict(save_config=True)),
    "qwen2": (qwen2(tie_word_embeddings=True), {}),
    "qwen2_window": (qwen2(use_sliding_window=True, max_window_layers=1), dict(save_config=True)),
    "gpt2": (gpt2(), dict(dtype="f32", gradients=True)),
    # As the first published files are: no "transformer." before the names, causal masks among the tensors.
    "gpt2_base_names": (gpt2(n_inner=70, n_head=4, scale_attn_by_inverse_layer_idx=True), dict(base_names=True)),
}


CASES.update(families.CASES)


def randomize(model, dtype):
    # A tied head sees the token's own embedding in the residual stream: small embeddings keep the layers' share visible.
    config = model.config.get_text_config()  # of a model with pictures: its text model's
    embedding, gain = (0.3, 2.5) if config.tie_word_embeddings else (1.0, 1.5)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "norm" in name or ".ln_" in name or "_ln." in name:
                value = torch.randn_like(p) * 0.3 + (0 if name.endswith("bias") else 1)
            elif p.dim() == 1:
                value = torch.randn_like(p) * 0.3
            elif "wpe" in name:
                value = torch.randn_like(p) * 0.5 * embedding
            elif "embed" in name or "wte" in name:
                value = torch.randn_like(p) * embedding
            else:
                fan_in = p.shape[0] if config.model_type == "gpt2" else p.shape[1]
                value = torch.randn_like(p) * (gain / fan_in**0.5)
            p.copy_(value.to(dtype))


def expect(model, prompt_length, gradients):
    """What expected.safetensors holds."""
    vocab = model.config.get_text_config().vocab_size
    prompt = torch.randint(3, vocab, (1, prompt_length))
    out = {"prompt_ids": prompt[0].int()}
    with torch.no_grad():
        out["logits"] = model(prompt).logits[0].contiguous()
        greedy = model.generate(prompt, do_sample=False, max_new_tokens=24, min_new_tokens=24,
                                eos_token_id=None, pad_token_id=0)
        out["greedy_ids"] = greedy[0, prompt_length:].int().contiguous()
        ids = torch.randint(0, vocab, (1, 200))
        out["nll_ids"] = ids[0].int()
        out["nll"] = torch.nn.functional.cross_entropy(model(ids).logits[0, :-1], ids[0, 1:]).reshape(1)
    if gradients:
        ids = torch.randint(0, vocab, (2, 16))
        loss = torch.nn.functional.cross_entropy(model(ids).logits[:, :-1].reshape(-1, vocab), ids[:, 1:].reshape(-1))
        loss.backward()
        out["batch_ids"] = ids.int()
        out["loss"] = loss.detach().reshape(1)
        for name, p in model.named_parameters():
            out["grad." + name] = p.grad.contiguous()
    return out


def write_weights(folder, tensors, shards):
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = sorted(tensors)
    index = {"metadata": {"total_size": sum(t.nbytes for t in tensors.values())}, "weight_map": {}}
    for shard in range(shards):
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        part = {n: tensors[n] for n in names[shard::shards]}
        save_file(part, folder / file, metadata={"format": "pt"})
        index["weight_map"].update({n: file for n in part})
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")


def write_case(name):
    config, options = CASES[name]
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}[options.get("dtype", "bf16")]
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    torch.manual_seed(zlib.crc32(name.encode()))
    read = transformers.AutoConfig.from_pretrained(folder)
    auto = transformers.AutoModelForImageTextToText if "text_config" in config else transformers.AutoModelForCausalLM
    model = auto.from_config(read, attn_implementation=options.get("attention", "eager")).float().eval()
    if "patch" in options:
        getattr(families, options["patch"])(model)
    randomize(model, dtype)
    tensors = {}
    for n, p in model.named_parameters():
        for ours, theirs in {**families.NAMES, **options.get("rename", {})}.items():
            n = n.replace(ours, theirs)
        tensors[n] = p.detach().to(dtype).contiguous()
    if options.get("base_names"):
        tensors = {n.removeprefix("transformer."): t for n, t in tensors.items()}
        for layer in range(config["n_layer"]):
            tensors[f"h.{layer}.attn.bias"] = torch.tril(torch.ones(32, 32, dtype=torch.uint8))[None, None].clone()
            tensors[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    if options.get("base_prefix"):
        tensors = {n.removeprefix(options["base_prefix"]): t for n, t in tensors.items()}
    if options.get("save_config"):
        read.save_pretrained(folder)
    if "file" in options:
        published, tensors = options["file"](config, tensors)
        (folder / "config.json").write_text(json.dumps(published, indent=1) + "\n")
        tensors = {n: t.contiguous() for n, t in tensors.items()}
    write_weights(folder, tensors, options.get("shards", 1))
    save_file(expect(model, options.get("prompt", 30), options.get("gradients", False)), folder / "expected.safetensors")


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    for case in sys.argv[1:] or CASES:
        write_case(case)
        print(case, sum(f.stat().st_size for f in (OUT / case).iterdir()))
