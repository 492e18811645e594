"""Training steps of Sumi and of PyTorch beside each other: the same model, batch and threads, in alternating runs.

  gpt2          GPT-2 124M from random weights, all weights, AdamW, batch 4 x 512
  smollm2       SmolLM2-135M-Instruct, LoRA rank 16 on all linear layers but the head, batch 4 x 256
  smollm2-4bit  the same in Sumi with the weights packed in 4 bits (qlora), against the same PyTorch step
  controlnet-256, controlnet-512
                a ControlNet over a UNet of Stable Diffusion 1.5's shape (random weights: make_pictures.py), batch 1,
                gradient checkpointing, 8-bit Adam in Sumi, AdamW in PyTorch
Usage: python bench/compare/training.py CASE [--dtype bf16] --sumi build/sumi [--model FILE.gguf] [--pictures FOLDER]
       [--rounds 3] [--work DIR] [--table docs/training-speed.md]
--table puts the case's row into that page.
"""

import argparse
import json
import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import time

from compare import machine, marked, put_between_marks


def text_step(case, folder, model_path):
    import torch
    import transformers

    if case == "gpt2":
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        length = 512
    else:
        from peft import LoraConfig, get_peft_model
        path = pathlib.Path(model_path)
        model = transformers.AutoModelForCausalLM.from_pretrained(str(path.parent), gguf_file=path.name,
                                                                  dtype=torch.float32)
        model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"))
        length = 256
    model.train()
    ids = torch.randint(5, 90, (4, length))
    return [p for p in model.parameters() if p.requires_grad], lambda: model(ids, labels=ids).loss


def controlnet_step(folder, size, dtype):
    """As diffusers' train_controlnet.py: the frozen UNet in the type of the computation, the net in float32."""
    import diffusers
    import torch

    unet = diffusers.UNet2DConditionModel.from_pretrained(f"{folder}/unet", torch_dtype=torch.float32)
    net = diffusers.ControlNetModel.from_unet(unet)
    unet.requires_grad_(False)
    unet.to(torch.bfloat16 if dtype == "bf16" else torch.float32)
    unet.enable_gradient_checkpointing()
    net.enable_gradient_checkpointing()
    net.train()
    unet.train()
    side = size // 8
    kind = unet.dtype
    latents, noise = torch.randn(1, 4, side, side), torch.randn(1, 4, side, side)
    condition, text = torch.rand(1, 3, size, size), torch.randn(1, 77, 768)

    def loss():
        t = torch.randint(0, 1000, (1,))
        down, mid = net(latents, t, encoder_hidden_states=text, controlnet_cond=condition, return_dict=False)
        out = unet(latents.to(kind), t, encoder_hidden_states=text.to(kind),
                   down_block_additional_residuals=[d.to(kind) for d in down],
                   mid_block_additional_residual=mid.to(kind)).sample
        return torch.nn.functional.mse_loss(out.float(), noise)

    return list(net.parameters()), loss


def peer(o, folder):
    import torch

    torch.set_num_threads(o.threads)
    if o.case.startswith("controlnet"):
        parameters, loss_of = controlnet_step(o.pictures, int(o.case.split("-")[1]), o.dtype)
    else:
        parameters, loss_of = text_step(o.case, folder, o.model)
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    times = []
    for _ in range(o.steps):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=o.dtype == "bf16"):
            loss = loss_of()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - start)
    print(json.dumps({"seconds": statistics.median(times[1:]),
                      "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def bytes_tokenizer():
    """One token a printable character: the bench needs texts of a known length, not good ones."""
    vocab = {"<s>": 0, "</s>": 1, "<unk>": 2} | {chr(33 + i): 3 + i for i in range(94)}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    added = [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
              "special": True} for i, t in enumerate(["<s>", "</s>", "<unk>"])]
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
            "pre_tokenizer": level, "post_processor": None, "decoder": level,
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "vocab": vocab,
                      "merges": []}}


def make_gpt2(folder):
    import torch
    import transformers
    torch.manual_seed(0)
    config = transformers.GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=1)
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps(bytes_tokenizer()))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>", "bos_token": "<s>"}))


def picture_data(folder, size):
    """Three pictures of noise with conditions; what they show does not matter to the time of a step."""
    import numpy
    from PIL import Image
    generator = numpy.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for i in range(3):
        for name in (f"{i}.png", f"condition{i}.png"):
            Image.fromarray(generator.integers(0, 255, (size, size, 3), dtype=numpy.uint8)).save(folder / name)
        lines.append(json.dumps({"image": f"{i}.png", "conditioning_image": f"condition{i}.png", "prompt": "noise"}))
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")


def sumi(o, folder, data):
    if o.case.startswith("controlnet"):
        command = ["controlnet", o.pictures, "--data", str(data), "--resolution", o.case.split("-")[1],
                   "--checkpoint-activations", "--optimizer", "adamw_8bit", "--dtype", o.dtype]
    else:
        length = 512 if o.case == "gpt2" else 256
        method = "full" if o.case == "gpt2" else "qlora" if o.case.endswith("4bit") else "lora"
        command = ["text", str(folder) if o.case == "gpt2" else o.model, "--data", str(data), "--method", method,
                   "--batch-size", "4", "--max-length", str(length)]
        if method != "qlora":
            command += ["--dtype", o.dtype]
    out = subprocess.run([o.sumi, "train", *command, "--threads", str(o.threads), "--steps", "10", "--dry-run", "-o",
                          str(folder / "unused")], capture_output=True, text=True, check=True).stdout
    return {"seconds": float(re.search(r"step +([\d.]+) s", out)[1]),
            "megabytes": float(re.search(r"largest +([\d.]+) MB", out)[1])}


def put_row(page, case, dtype, row):
    """One row per case, type and processor between the page's marks, in their order."""
    head = ["| case | type | Sumi | PyTorch | PyTorch / Sumi | Sumi's memory | PyTorch's | runs, processor |",
            "|---|---|---|---|---|---|---|---|"]
    def same(line):
        return line.startswith(f"| {case} | {dtype} |") and line.split(", ")[1:] == row.split(", ")[1:]

    rows = [line for line in marked(page, "training")[1].splitlines()[2:] if not same(line)] + [row]
    put_between_marks(page, "training", "\n".join(head + sorted(rows)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("case", choices=["gpt2", "smollm2", "smollm2-4bit", "controlnet-256", "controlnet-512"])
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--sumi", default="build/sumi")
    parser.add_argument("--model", default=os.path.expanduser(
        "~/.cache/sumi/models/SmolLM2-135M-Instruct.Q4_1.gguf"))
    parser.add_argument("--pictures", default=os.path.expanduser("~/.cache/sumi/bench/sd15"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--work", default="/tmp/sumi-bench-training")
    parser.add_argument("--table", type=pathlib.Path)
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    o = parser.parse_args()
    folder = pathlib.Path(o.work)
    if o.peer:
        return peer(o, folder)
    folder.mkdir(parents=True, exist_ok=True)
    if o.case == "gpt2" and not (folder / "model.safetensors").exists():
        make_gpt2(folder)
    if o.case.startswith("controlnet"):
        data = folder / o.case
        picture_data(data, int(o.case.split("-")[1]))
    else:
        length = 512 if o.case == "gpt2" else 256
        data = folder / f"{o.case}.jsonl"
        # One long text: all pieces that it is cut into are full but the last.
        text = "".join(chr(97 + (i * 7 + i // 26) % 26) for i in range(200 * length))
        data.write_text(json.dumps({"text": text}) + "\n")
    results = {"sumi": [], "pytorch": []}
    for _ in range(o.rounds):
        results["sumi"].append(sumi(o, folder, data))
        out = subprocess.run([sys.executable, __file__, o.case, "--peer", "--dtype", o.dtype, "--work", o.work,
                              "--model", o.model, "--pictures", o.pictures, "--steps", str(o.steps), "--threads",
                              str(o.threads)], capture_output=True, text=True, check=True).stdout
        results["pytorch"].append(json.loads(out.strip().splitlines()[-1]))
    seconds = {name: statistics.median(r["seconds"] for r in runs) for name, runs in results.items()}
    memory = {name: max(r["megabytes"] for r in runs) for name, runs in results.items()}
    for name, runs in results.items():
        print(f"{name:8} " + "  ".join(f"{r['seconds']:.2f} s {r['megabytes']:.0f} MB" for r in runs))
    ratio = seconds["pytorch"] / seconds["sumi"]
    print(f"PyTorch / Sumi, medians of {o.rounds}: {ratio:.2f}")
    if o.table:
        m = machine(o)
        put_row(o.table, o.case, o.dtype,
                f"| {o.case} | {o.dtype} | {seconds['sumi']:.2f} s | {seconds['pytorch']:.2f} s | {ratio:.2f} | "
                f"{memory['sumi']:.0f} MB | {memory['pytorch']:.0f} MB | {o.rounds}, {m['processor']} ({m['instructions']}), {o.threads} threads |")


if __name__ == "__main__":
    main()
