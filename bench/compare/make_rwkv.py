"""Writes RWKV-4 shapes with random weights, once, as the author's .pth and as a Hugging Face folder.

    make_rwkv.py FOLDER      -> rwkv4-169m-{bf16,f32}.pth, rwkv4-430m-hf/

Weights are normal with a trained model's size; decays are spread as at the start of training.
"""

import json
import os
import sys

import torch

from make_models import new_folder

VOCAB = 50277
SHAPES = {"169m": (12, 768), "430m": (24, 1024)}


def tensors(layers, hidden):
    """The author's name, value (f32)."""
    generator = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(shape, generator=generator) * 0.02

    def norm(name):
        yield name + ".weight", torch.ones(hidden)
        yield name + ".bias", torch.zeros(hidden)

    yield "emb.weight", normal(VOCAB, hidden)
    for layer in range(layers):
        block = f"blocks.{layer}."
        for name in ("ln0", "ln1", "ln2") if layer == 0 else ("ln1", "ln2"):
            yield from norm(block + name)
        channels = torch.arange(hidden)
        yield block + "att.time_decay", -5 + 8 * (channels / (hidden - 1)) ** (0.7 + 1.3 * layer / (layers - 1))
        yield block + "att.time_first", 0.5 * ((channels + 1) % 3 - 1) - 1.2
        for name in ("att.time_mix_k", "att.time_mix_v", "att.time_mix_r", "ffn.time_mix_k", "ffn.time_mix_r"):
            yield block + name, ((channels / hidden) ** (1 - layer / layers))[None, None]
        for name in ("key", "value", "receptance", "output"):
            yield f"{block}att.{name}.weight", normal(hidden, hidden)
        yield block + "ffn.key.weight", normal(4 * hidden, hidden)
        yield block + "ffn.receptance.weight", normal(hidden, hidden)
        yield block + "ffn.value.weight", normal(hidden, 4 * hidden)
    yield from norm("ln_out")
    yield "head.weight", normal(VOCAB, hidden)


def as_type(name, value, dtype):
    return value if "time_decay" in name or "time_first" in name else value.to(dtype)


def write_pth(path, shape, dtype):
    torch.save({name: as_type(name, value, dtype) for name, value in tensors(*shape)}, path + ".part")
    os.rename(path + ".part", path)


def hugging_face_name(name):
    if name.startswith("head"):
        return name
    for ours, theirs in {"emb.": "embeddings.", ".ln0": ".pre_ln", ".att.": ".attention.", ".ffn.": ".feed_forward.",
                         "time_mix_k": "time_mix_key", "time_mix_v": "time_mix_value",
                         "time_mix_r": "time_mix_receptance"}.items():
        name = name.replace(ours, theirs)
    return "rwkv." + name


def write_hugging_face(folder, shape):
    from safetensors.torch import save_file

    layers, hidden = shape
    config = {"architectures": ["RwkvForCausalLM"], "model_type": "rwkv", "vocab_size": VOCAB, "hidden_size": hidden,
              "num_hidden_layers": layers, "context_length": 1024, "rescale_every": 6, "dtype": "bfloat16"}
    temporary = new_folder(folder)
    save_file({hugging_face_name(name): as_type(name, value, torch.bfloat16) for name, value in tensors(*shape)},
              os.path.join(temporary, "model.safetensors"), metadata={"format": "pt"})
    with open(os.path.join(temporary, "config.json"), "w") as file:
        json.dump(config, file, indent=1)
    os.rename(temporary, folder)


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    for name, dtype in {"bf16": torch.bfloat16, "f32": torch.float32}.items():
        path = os.path.join(folder, f"rwkv4-169m-{name}.pth")
        if not os.path.exists(path):
            write_pth(path, SHAPES["169m"], dtype)
    path = os.path.join(folder, "rwkv4-430m-hf")
    if not os.path.exists(path):
        write_hugging_face(path, SHAPES["430m"])


if __name__ == "__main__":
    main()
