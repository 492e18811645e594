"""Training steps of Sumi and of PyTorch beside each other: the same model, batch and threads, in alternating runs.

  gpt2         GPT-2 124M from random weights, all weights, AdamW, batch 4 x 512, float32
  smollm2      SmolLM2-135M-Instruct, LoRA rank 16 on all linear layers but the head, batch 4 x 256, float32
  smollm2-4bit the same in Sumi with the weights packed in 4 bits (qlora), against the same PyTorch step
Usage: python bench/compare/training.py CASE --sumi build/sumi [--model FILE.gguf] [--rounds 3] [--work DIR]
"""

import argparse
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import time


def peer(case, folder, model_path, threads, steps):
    import torch
    import transformers

    torch.set_num_threads(threads)
    if case == "gpt2":
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        length = 512
    else:
        from peft import LoraConfig, get_peft_model
        path = pathlib.Path(model_path)
        model = transformers.AutoModelForCausalLM.from_pretrained(str(path.parent), gguf_file=path.name,
                                                                  dtype=torch.float32)
        model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"))
        length = 256
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    ids = torch.randint(5, 90, (4, length))
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        loss = model(ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - start)
    print(json.dumps({"seconds": min(times[1:]),
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


def sumi(case, binary, folder, model_path, data, threads):
    length, method = (512, "full") if case == "gpt2" else (256, "qlora" if case.endswith("4bit") else "lora")
    model = str(folder) if case == "gpt2" else model_path
    out = subprocess.run([binary, "train", "text", model, "--data", data, "--method", method, "--batch-size", "4",
                          "--max-length", str(length), "--threads", str(threads), "--steps", "10", "--dry-run",
                          "-o", str(folder / "unused")], capture_output=True, text=True, check=True).stdout
    return {"seconds": float(re.search(r"step +([\d.]+) s", out)[1]),
            "megabytes": float(re.search(r"largest +([\d.]+) MB", out)[1])}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("case", choices=["gpt2", "smollm2", "smollm2-4bit"])
    parser.add_argument("--sumi", default="build/sumi")
    parser.add_argument("--model", default=os.path.expanduser(
        "~/.cache/sumi/models/SmolLM2-135M-Instruct.Q4_1.gguf"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--work", default="/tmp/sumi-bench-training")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    o = parser.parse_args()
    folder = pathlib.Path(o.work)
    if o.peer:
        return peer(o.case, folder, o.model, o.threads, o.steps)
    folder.mkdir(parents=True, exist_ok=True)
    if o.case == "gpt2" and not (folder / "model.safetensors").exists():
        make_gpt2(folder)
    length = 512 if o.case == "gpt2" else 256
    data = folder / f"{o.case}.jsonl"
    # One long text: all pieces that it is cut into are full but the last.
    text = "".join(chr(97 + (i * 7 + i // 26) % 26) for i in range(200 * length))
    data.write_text(json.dumps({"text": text}) + "\n")
    results = {"sumi": [], "pytorch": []}
    for _ in range(o.rounds):
        results["sumi"].append(sumi(o.case, o.sumi, folder, o.model, data, o.threads))
        out = subprocess.run([sys.executable, __file__, o.case, "--peer", "--work", o.work, "--model", o.model,
                              "--steps", str(o.steps), "--threads", str(o.threads)], capture_output=True, text=True,
                             check=True).stdout
        results["pytorch"].append(json.loads(out.strip().splitlines()[-1]))
    best = {name: min(r["seconds"] for r in runs) for name, runs in results.items()}
    for name, runs in results.items():
        print(f"{name:8} " + "  ".join(f"{r['seconds']:.2f} s {r['megabytes']:.0f} MB" for r in runs))
    print(f"PyTorch / Sumi, best of {o.rounds}: {best['pytorch'] / best['sumi']:.2f}")


if __name__ == "__main__":
    main()
