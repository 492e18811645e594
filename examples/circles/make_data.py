"""Makes what a picture model needs to begin from nothing: pictures of coloured circles with their outlines and prompts,
and the parts of a model beside its UNet: a tokenizer of a few words, a text encoder with random weights (which tells
words apart, and stays as it is), a noise schedule. There is no autoencoder: the model works on pixels.

Usage: python3 examples/circles/make_data.py FOLDER [COUNT]
FOLDER/train and FOLDER/test are data sets, FOLDER/parts a model for `sumi train image --unet-config FOLDER/unet.json`.
"""
import json
import math
import random
import struct
import sys
from pathlib import Path

from png import write_png

SIZE = 32
COLOURS = {"red": (215, 40, 45), "green": (40, 170, 70), "blue": (45, 70, 210), "yellow": (225, 205, 50)}
GROUNDS = {"white": (235, 235, 230), "black": (25, 25, 30)}
WORDS = ["a", "circle", "on", *COLOURS, *GROUNDS]
WIDTH, LAYERS, LENGTH = 64, 2, 12  # of the text encoder


def circle(colour, ground, x, y, radius):
    """A disc with soft edges, and its outline in white on black."""
    picture, outline = [], []
    for row in range(SIZE):
        picture.append([]), outline.append([])
        for column in range(SIZE):
            distance = math.hypot(column + 0.5 - x, row + 0.5 - y) - radius
            share = min(1, max(0, 0.5 - distance))
            picture[-1].append(tuple(round(share * c + (1 - share) * g) for c, g in zip(colour, ground)))
            outline[-1].append((255,) * 3 if abs(distance) < 0.6 else (0,) * 3)
    return picture, outline


def write_set(folder, count, generator):
    (folder / "outlines").mkdir(parents=True, exist_ok=True)
    with open(folder / "metadata.jsonl", "w") as rows:
        for i in range(count):
            colour, ground = generator.choice(sorted(COLOURS)), generator.choice(sorted(GROUNDS))
            radius = generator.uniform(4, 10)
            x, y = (generator.uniform(radius + 1, SIZE - radius - 1) for _ in range(2))
            picture, outline = circle(COLOURS[colour], GROUNDS[ground], x, y, radius)
            write_png(folder / f"{i:05}.png", picture)
            write_png(folder / "outlines" / f"{i:05}.png", outline)
            rows.write(json.dumps({"image": f"{i:05}.png", "conditioning_image": f"outlines/{i:05}.png",
                                   "prompt": f"a {colour} circle on {ground}"}) + "\n")


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n")


def write_tokenizer(folder):
    """CLIP's kind: letters, with "</w>" at a word's end, and merges that make each word one token."""
    letters = [chr(c) for c in range(ord("!"), ord("~") + 1)]
    vocab = letters + [letter + "</w>" for letter in letters]
    merges = []
    for word in WORDS:
        parts = list(word[:-1]) + [word[-1] + "</w>"]
        for part in parts[1:]:
            merges.append(f"{parts[0]} {part}")
            parts[0] += part
            vocab.append(parts[0])
    vocab = list(dict.fromkeys(vocab)) + ["<|startoftext|>", "<|endoftext|>"]
    write_json(folder / "vocab.json", {token: i for i, token in enumerate(vocab)})
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(dict.fromkeys(merges)) + "\n")
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "CLIPTokenizer", "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "model_max_length": LENGTH})
    return len(vocab)


def write_text_encoder(folder, vocabulary, generator):
    inner = 4 * WIDTH
    shapes = {"embeddings.token_embedding.weight": (vocabulary, WIDTH), "embeddings.position_embedding.weight": (LENGTH, WIDTH),
              "final_layer_norm.weight": (WIDTH,), "final_layer_norm.bias": (WIDTH,)}
    for i in range(LAYERS):
        name = f"encoder.layers.{i}."
        for part in ["q", "k", "v", "out"]:
            shapes[f"{name}self_attn.{part}_proj.weight"] = (WIDTH, WIDTH)
            shapes[f"{name}self_attn.{part}_proj.bias"] = (WIDTH,)
        shapes |= {f"{name}mlp.fc1.weight": (inner, WIDTH), f"{name}mlp.fc1.bias": (inner,),
                   f"{name}mlp.fc2.weight": (WIDTH, inner), f"{name}mlp.fc2.bias": (WIDTH,)}
        for norm in ["layer_norm1", "layer_norm2"]:
            shapes |= {f"{name}{norm}.weight": (WIDTH,), f"{name}{norm}.bias": (WIDTH,)}
    header, data = {}, b""
    for name, shape in shapes.items():
        count = math.prod(shape)
        if "norm" in name or name.endswith(".bias"):
            values = [1.0 if name.endswith("norm.weight") or "norm1.weight" in name or "norm2.weight" in name else 0.0] * count
        else:
            spread = 1.0 if "token_embedding" in name else 0.2 if "position" in name else shape[1] ** -0.5
            values = [generator.gauss(0, spread) for _ in range(count)]
        header["text_model." + name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * count]}
        data += struct.pack(f"<{count}f", *values)
    text = json.dumps(header).encode()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    write_json(folder / "config.json", {
        "architectures": ["CLIPTextModel"], "model_type": "clip_text_model", "vocab_size": vocabulary, "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS, "num_attention_heads": 4, "intermediate_size": inner, "hidden_act": "quick_gelu",
        "max_position_embeddings": LENGTH, "bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1,
        "pad_token_id": vocabulary - 1})


def write_parts(folder, generator):
    vocabulary = write_tokenizer(folder / "tokenizer")
    write_text_encoder(folder / "text_encoder", vocabulary, generator)
    write_json(folder / "scheduler" / "scheduler_config.json", {
        "_class_name": "DDIMScheduler", "num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012,
        "beta_schedule": "scaled_linear", "prediction_type": "v_prediction", "rescale_betas_zero_snr": True,
        "timestep_spacing": "trailing", "clip_sample": True, "set_alpha_to_one": True})
    write_json(folder / "model_index.json", {
        "_class_name": "StableDiffusionPipeline", "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
        "safety_checker": [None, None], "feature_extractor": [None, None], "vae": [None, None]})
    write_json(folder.parent / "unet.json", {
        "_class_name": "UNet2DConditionModel", "sample_size": SIZE, "in_channels": 3, "out_channels": 3,
        "block_out_channels": [32, 64, 96], "layers_per_block": 1, "attention_head_dim": 4, "norm_num_groups": 8,
        "cross_attention_dim": WIDTH, "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"]})


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    folder, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) == 3 else 2000
    write_set(folder / "train", count, random.Random(1))
    write_set(folder / "test", 16, random.Random(2))
    write_parts(folder / "parts", random.Random(3))


if __name__ == "__main__":
    main()
