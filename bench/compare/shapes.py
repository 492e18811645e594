"""Runs Sumi and other engines in turns on the shapes of known models (make_shapes.py), and writes docs/speed.md's tables.

    shapes.py [options]            the engines, as compare.py measures them
    shapes.py --long [options]     prompts of 1K to 8K on the StarCoder-1B shape, Sumi alone, against the arithmetic

The Python is that of the environment that bench/compare/run makes. Each kind of run replaces its own table.
"""

import argparse
import json
import os
import pathlib
import statistics
import sys

from compare import LABELS, MODELS, ROOT, machine, put_between_marks, ratio, run_case, run_json

PAGE = ROOT / "docs" / "speed.md"
LABELS.update({"transformers-f32": "transformers f32"})
LENGTHS = (1024, 2048, 4096, 8064)
# StarCoder-1B's shape.
HIDDEN, LAYERS, HEADS, HEAD_DIM, INNER, VOCAB = 2048, 24, 16, 128, 8192, 49152


def cases():
    """name -> engine -> the model it reads. Weights are bf16 but where the name says Q8_0 (llama.cpp's 8 bits)."""
    def hf(name):
        return str(MODELS / f"{name}-hf")

    def gguf(name, kind):
        return str(MODELS / f"{name}-{kind}.gguf")

    found = {}
    for name, label in (("gpt2-124m", "GPT-2 124M"), ("starcoder-1b", "StarCoder-1B"), ("mpt-1b", "MPT-1B"),
                        ("t5-large", "T5-large")):
        found[f"{label} bf16"] = {"sumi": hf(name), "transformers": hf(name), "llama.cpp": gguf(name, "BF16")}
        found[f"{label} Q8_0"] = {"sumi": gguf(name, "Q8_0"), "llama.cpp": gguf(name, "Q8_0")}
    found["GPT-2 124M bf16"]["transformers-f32"] = hf("gpt2-124m")
    found["GPT-2 124M Q8_0"]["ctranslate2"] = str(MODELS / "gpt2-124m-ct2")
    for name, label in (("opt-1.3b", "OPT-1.3B"), ("rwkv4-430m", "RWKV-4 430M")):
        found[f"{label} bf16"] = {"sumi": hf(name), "transformers": hf(name)}
    return found


def speed_table(results):
    m = results["machine"]
    counts = [len(r["rounds"]) for engines in results["cases"].values() for r in engines.values() if "rounds" in r]
    rounds = str(min(counts)) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    lines = [f"{m.get('processor', '?')}, {m['threads']} threads, {m.get('instructions', '?')} kernels; {m['date']}. "
             f"Tokens/s, medians of {rounds} alternating rounds: {results['prompt']} fresh ids (T5: of its encoder), "
             f"then {results['new']} made one by one. “×” is Sumi's speed over that engine's.", "",
             "| shape | engine | prefill | × | decode | × | GB/s read | peak memory |", "|---|---|---:|---:|---:|---:|---:|---:|"]
    for name, engines in results["cases"].items():
        sumi = engines.get("sumi", {})
        for engine, r in engines.items():
            if "error" in r:
                lines.append(f"| {name} | {LABELS[engine]} | failed: {r['error'].replace('|', '/')} | | | | | |")
                continue
            ours = engine == "sumi"
            ratios = ["", ""] if ours or "rounds" not in sumi else [
                f"{ratio(sumi, r, key):.2f}" for key in ("prefill_tokens_per_s", "decode_tokens_per_s")]
            read = f"{r['bytes_per_token'] * r['decode_tokens_per_s'] / 1e9:.1f}" if ours else ""
            lines.append(f"| {name} | {LABELS[engine]} | {r['prefill_tokens_per_s']:.0f} | {ratios[0]} "
                         f"| {r['decode_tokens_per_s']:.1f} | {ratios[1]} | {read} | {r['peak_memory_bytes'] / 1e6:.0f} MB |")
    limits = results["limits"]
    lines += ["", f"The machine reads {limits['read_bytes_per_second'] / 1e9:.1f} GB/s and does "
              f"{limits['int8_products_per_second'] / 1e9:.0f} G int8 and {limits['f32_products_per_second'] / 1e9:.0f} G f32 "
              "multiply-adds/s (`sumi bench --limits`, same run)."]
    return "\n".join(lines)


def products(length):
    """Multiply-adds of a prompt, in its two parts: those that grow with its length, and attention's, with its square."""
    per_layer = HIDDEN * (HIDDEN + 2 * HEAD_DIM) + HIDDEN * HIDDEN + 2 * HIDDEN * INNER
    return LAYERS * per_layer * length + HIDDEN * VOCAB, LAYERS * HEADS * HEAD_DIM * length * (length + 1)


def long_rows(options):
    model = str(MODELS / f"starcoder-1b-{options.kind}.gguf")
    cache = run_json([options.sumi, "inspect", model, "--json"])["cache_bytes_per_token"]
    runs = {length: [] for length in LENGTHS}
    for _ in range(options.rounds):
        for length in LENGTHS:
            run = run_json([options.sumi, "bench", model, "--prefill", str(length), "--decode", "8", "--repeat", "1",
                            "--threads", str(options.threads), "--json"])
            runs[length].append((length / run["prefill"]["tokens_per_second"], run["decode"]["tokens_per_second"],
                                 run["peak_memory_bytes"]))
            print(length, runs[length][-1], file=sys.stderr)
    rows = []
    for length, measured in runs.items():
        seconds, decode, peak = (statistics.median(values) for values in zip(*measured))
        rows.append({"tokens": length, "seconds": seconds, "cache": cache * length, "peak": peak, "decode": decode})
    return rows


def long_table(options, rows):
    m = machine(options)
    first = rows[0]
    first_work = sum(products(first["tokens"]))
    lines = [f"{m.get('processor', '?')}, {m['threads']} threads, {m.get('instructions', '?')} kernels; {m['date']}. StarCoder-1B's "
             f"shape (multi-query, 8,192 positions), {options.kind}, random weights; medians of {options.rounds} rounds. "
             "Arithmetic: multiply-adds of all products, as a multiple of the first row's; a time that grows no faster than it is as it should be.", "",
             "| prompt | prefill | tokens/s | time × | arithmetic × | share of attention | keys and values | peak memory | decode after it |",
             "|---:|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for row in rows:
        plain, attention = products(row["tokens"])
        lines.append(f"| {row['tokens']} | {row['seconds']:.1f} s | {row['tokens'] / row['seconds']:.0f} | "
                     f"{row['seconds'] / first['seconds']:.2f} | {(plain + attention) / first_work:.2f} | "
                     f"{100 * attention / (plain + attention):.0f} % | {row['cache'] / 1e6:.0f} MB | {row['peak'] / 1e6:.0f} MB | "
                     f"{row['decode']:.1f} tokens/s |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sumi", default=str(ROOT / "build" / "sumi"))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--new", type=int, default=48)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--kind", default="BF16", help="--long: weights, BF16 or Q8_0")
    parser.add_argument("--results", type=pathlib.Path, help="keep the runs in this file and take from it cases not run now")
    parser.add_argument("--print", action="store_true", help="only print; change no file")
    options = parser.parse_args()
    if options.long:
        mark, text = "long", long_table(options, long_rows(options))
    else:
        results = {"machine": machine(options), "prompt": options.prompt, "new": options.new, "rounds": options.rounds,
                   "cases": {}}
        if options.results and options.results.exists():
            results["cases"] = json.loads(options.results.read_text())["cases"]
        results["limits"] = run_json([options.sumi, "bench", "--limits", "--threads", str(options.threads), "--json"])
        for name, engines in cases().items():
            if options.only not in name:
                continue
            results["cases"][name] = run_case(name, engines, options)
            if options.results:
                options.results.write_text(json.dumps(results, indent=1) + "\n")
        order = [name for name in cases() if name in results["cases"]]
        results["cases"] = {name: results["cases"][name] for name in order}
        mark, text = "speed", speed_table(results)
    print(text)
    if not options.print:
        put_between_marks(PAGE, mark, text)


if __name__ == "__main__":
    main()
