"""Runs Sumi and other engines in turns on the same weights and threads; bench/compare/run starts it.

Every round starts each engine once, in a process of its own: it loads, warms up, then processes 512 fresh ids and
decodes 128 tokens after them, `--repeat` times. Speeds are medians over all rounds; a ratio is the median of
the rounds' ratios, so that a busy moment of the machine weighs on both sides of it.

Writes results.json beside this file, and the table between the figures:begin and figures:end marks of the
project's README.md.
"""

import argparse
import datetime
import json
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "sumi"
SMOLLM2 = CACHE / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
MODELS = CACHE / "bench"
AT_LIMITS = "1.1B"  # models as large as this are measured beside what the machine allows
LABELS = {"sumi": "Sumi", "llama.cpp": "llama.cpp", "openvino": "OpenVINO GenAI",
          "ctranslate2": "CTranslate2 int8", "transformers": "transformers bf16",
          "rwkv-bf16": "rwkv bf16", "rwkv-f32": "rwkv f32"}


def cases():
    """name -> engine -> the model it reads; of Sumi's, (model, dtype) where it computes in another type."""
    q8, q4, q4k = (str(MODELS / f"llama-1b-{kind}.gguf") for kind in ("Q8_0", "Q4_0", "Q4_K_M"))
    return {
        "SmolLM2-135M Q4_1": dict.fromkeys(("sumi", "llama.cpp", "openvino"), str(SMOLLM2)),
        "1.1B Q8_0": {"sumi": q8, "llama.cpp": q8, "openvino": q8,
                      "ctranslate2": str(MODELS / "llama-1b-ct2"),
                      "transformers": str(MODELS / "llama-1b-hf")},
        "1.1B Q4_0": dict.fromkeys(("sumi", "llama.cpp", "openvino"), q4),
        "1.1B Q4_K_M": dict.fromkeys(("sumi", "llama.cpp", "openvino"), q4k),
        "RWKV-4 169M bf16": dict.fromkeys(("sumi", "rwkv-bf16", "rwkv-f32"), str(MODELS / "rwkv4-169m-bf16.pth")),
        "RWKV-4 169M f32": dict.fromkeys(("sumi", "rwkv-f32"), str(MODELS / "rwkv4-169m-f32.pth")),
        "RWKV-4 169M bf16, in f32": {"sumi": (str(MODELS / "rwkv4-169m-bf16.pth"), "f32"),
                                     "rwkv-f32": str(MODELS / "rwkv4-169m-bf16.pth")},
        "RWKV-4 430M bf16": dict.fromkeys(("sumi", "transformers"), str(MODELS / "rwkv4-430m-hf")),
    }


def run_json(command):
    """The JSON object a command prints last; RuntimeError with its last words if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise RuntimeError(f"exit code {done.returncode}: {words}"[:300])
    text = done.stdout.strip()
    return json.loads(text[text.index("{"):] if "\n" in text and text.startswith("{")
                      else text.splitlines()[-1])


def measure_sumi(sumi, model, options):
    model, dtype = model if isinstance(model, tuple) else (model, "auto")
    result = run_json([sumi, "bench", model, "--dtype", dtype,
                       "--prefill", str(options.prompt), "--decode", str(options.new),
                       "--repeat", str(options.repeat), "--threads", str(options.threads), "--json"])
    return {"version": sumi_version(sumi)[0], "load_s": result["load_ms"] / 1e3,
            "prefill_tokens_per_s": result["prefill"]["runs"],
            "decode_tokens_per_s": result["decode"]["runs"],
            "bytes_per_token": result["decode"]["bytes_read_per_token"],
            "products_per_s": result["prefill"]["products_per_second"],
            "peak_memory_bytes": result["peak_memory_bytes"]}


def measure_peer(engine, model, options):
    return run_json([sys.executable, str(HERE / "peers.py"), engine, model, "--prompt", str(options.prompt),
                     "--new", str(options.new), "--repeat", str(options.repeat),
                     "--threads", str(options.threads)])


def run_case(name, engines, options):
    """engine -> its rounds, or the error that stopped it."""
    rounds = {engine: [] for engine in engines}
    errors = {}
    for number in range(options.rounds):
        order = list(engines)
        if number % 2:
            order.reverse()
        for engine in order:
            if engine in errors:
                continue
            print(f"{name}, round {number + 1} of {options.rounds}: {LABELS[engine]} ... ", end="",
                  file=sys.stderr, flush=True)
            try:
                measured = (measure_sumi(options.sumi, engines[engine], options) if engine == "sumi"
                            else measure_peer(engine, engines[engine], options))
            except (RuntimeError, OSError, ValueError, subprocess.TimeoutExpired) as error:
                errors[engine] = str(error)
                print(errors[engine], file=sys.stderr)
                continue
            measured["load_average"] = os.getloadavg()[0]
            if engine == "sumi" and name.startswith(AT_LIMITS):
                measured["limits"] = run_json([options.sumi, "bench", "--limits", "--threads", str(options.threads), "--json"])
            rounds[engine].append(measured)
            print(f"prefill {statistics.median(measured['prefill_tokens_per_s']):.1f}, decode "
                  f"{statistics.median(measured['decode_tokens_per_s']):.1f}", file=sys.stderr)
    return {engine: {"error": errors[engine]} if engine in errors else summary(rounds[engine])
            for engine in engines}


def summary(rounds):
    result = {"rounds": rounds, "version": rounds[0]["version"],
              "bytes_per_token": rounds[0].get("bytes_per_token", 0),
              "peak_memory_bytes": max(r["peak_memory_bytes"] for r in rounds),
              "load_s": statistics.median(r["load_s"] for r in rounds)}
    for key in ("prefill_tokens_per_s", "decode_tokens_per_s"):
        result[key] = statistics.median(speed for r in rounds for speed in r[key])
    return result


def ratio(sumi, peer, key):
    """Sumi's speed over the peer's: median over rounds."""
    pairs = zip(sumi["rounds"], peer["rounds"])
    return statistics.median(statistics.median(a[key]) / statistics.median(b[key]) for a, b in pairs)


def limits_lines(results):
    """Sumi's share of what `sumi bench --limits` measured after each run, for the models at the machine's limits."""
    lines = ["", "Shares of what the machine allows, as `sumi bench --limits` measured it after each of Sumi's runs:", "",
             "| weights | decode, GB/s | of the read bandwidth | prefill, G multiply-adds/s | of the int8 peak |",
             "|---|---:|---:|---:|---:|"]
    for name, engines in results["cases"].items():
        rounds = [r for r in engines.get("sumi", {}).get("rounds", []) if "limits" in r]
        if not name.startswith(AT_LIMITS) or not rounds:
            continue
        limits = [r["limits"] for r in rounds]
        read = [r["bytes_per_token"] * statistics.median(r["decode_tokens_per_s"]) for r in rounds]
        done = [r["products_per_s"] for r in rounds]
        peaks = [m["tile_int8_products_per_second"] or m["int8_products_per_second"] for m in limits]
        share = [statistics.median(a / b for a, b in zip(read, (m["read_bytes_per_second"] for m in limits))),
                 statistics.median(a / b for a, b in zip(done, peaks))]
        lines.append(f"| {name} | {statistics.median(read) / 1e9:.1f} | {100 * share[0]:.0f} % "
                     f"| {statistics.median(done) / 1e9:.0f} | {100 * share[1]:.0f} % |")
    return lines if len(lines) > 5 else []


def measure_quality(options):
    """Perplexity of text.txt under Sumi and llama.cpp: same file, same ids, same windows."""
    peer = run_json([sys.executable, str(HERE / "peers.py"), "llama.cpp", str(SMOLLM2), "--perplexity",
                     str(HERE / "text.txt"), "--threads", str(options.threads)])
    total = 0.0
    for window in peer["windows"]:
        result = run_json([options.sumi, "perplexity", str(SMOLLM2), "--ids",
                           ",".join(map(str, window)), "--threads", str(options.threads), "--json"])
        total += result["nll"] * result["tokens"]
    sumi = math.exp(total / peer["tokens"])
    return {"tokens": peer["tokens"], "sumi": sumi, "llama.cpp": peer["perplexity"],
            "relative_difference": sumi / peer["perplexity"] - 1}


def sumi_version(sumi):
    return subprocess.run([sumi, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()


def machine(options):
    with open("/proc/meminfo") as file:
        memory = int(re.search(r"MemTotal:\s+(\d+)", file.read()).group(1)) * 1024
    about = sumi_version(options.sumi)
    found = {"about": about, "threads": options.threads, "memory_bytes": memory,
             "date": datetime.date.today().isoformat()}
    for line in about[1:]:
        key, _, value = line.partition(": ")
        found.setdefault(key, value)
    return found


def table(results):
    m = results["machine"]
    lines = [
        f"{m.get('processor', 'unknown processor')}, {m['threads']} threads, "
        f"{m.get('instructions', '?')} kernels, {m['memory_bytes'] / 2**30:.0f} GB; {m['date']}. "
        "Tokens/s, medians of alternating runs: prefill of 512 fresh ids, then 128 decoded. “×” is Sumi's speed "
        "over that engine's.",
        "",
        "| weights | engine | prefill | × | decode | × | peak memory |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for name, engines in results["cases"].items():
        sumi = engines.get("sumi", {})
        for engine, r in engines.items():
            label = LABELS[engine]
            if "error" in r:
                lines.append(f"| {name} | {label} | failed: {r['error'].replace('|', '/')} | | | | |")
                continue
            ratios = ["", ""]
            if engine != "sumi" and "rounds" in sumi:
                ratios = [f"{ratio(sumi, r, key):.2f}"
                          for key in ("prefill_tokens_per_s", "decode_tokens_per_s")]
            lines.append(f"| {name} | {label} {'' if engine == 'sumi' else r['version'].split('-')[0]} "
                         f"| {r['prefill_tokens_per_s']:.0f} | {ratios[0]} | {r['decode_tokens_per_s']:.1f} "
                         f"| {ratios[1]} | {r['peak_memory_bytes'] / 1e6:.0f} MB |")
    lines += limits_lines(results)
    if "quality" in results:
        q = results["quality"]
        lines += ["", f"Quality: SmolLM2-135M Q4_1, perplexity of bench/compare/text.txt ({q['tokens']} tokens): "
                  f"Sumi {q['sumi']:.3f}, llama.cpp {q['llama.cpp']:.3f} "
                  f"({q['relative_difference'] * 100:+.2f} %)."]
    loads = [r["load_average"] for engines in results["cases"].values()
             for e in engines.values() for r in e.get("rounds", [])]
    if loads and max(loads) > 1.5 * m["threads"]:
        lines += ["", f"The machine was not quiet (load average up to {max(loads):.1f}): read the ratios."]
    return "\n".join(lines)


def put_between_marks(path, mark, text):
    """Replaces what a page holds between its lines <!-- mark:begin --> and <!-- mark:end -->."""
    begin, _, end = marked(path, mark)
    path.write_text(f"{begin}{text}\n{end}")


def marked(path, mark):
    """A page up to its begin mark's line, what is between the marks, and the rest."""
    begin, end = f"<!-- {mark}:begin -->\n", f"<!-- {mark}:end -->"
    content = path.read_text()
    if begin not in content or end not in content:
        sys.exit(f"{path}: expected the marks {begin.strip()} and {end}")
    head, _, rest = content.partition(begin)
    between, _, tail = rest.partition(end)
    return head + begin, between, end + tail


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sumi", default=str(ROOT / "build" / "sumi"))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--new", type=int, default=128)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--engines", default="", help="comma-separated; default: all")
    parser.add_argument("--no-quality", action="store_true")
    parser.add_argument("--keep", action="store_true", help="keep results.json's cases that are not run this time")
    parser.add_argument("--print", action="store_true", help="only print; change no file")
    options = parser.parse_args()

    chosen = {name: engines for name, engines in cases().items() if options.only in name}
    wanted = options.engines.split(",") if options.engines else list(LABELS)
    chosen = {name: {e: m for e, m in engines.items() if e in wanted} for name, engines in chosen.items()}
    if any("1.1B" in name for name in chosen):
        subprocess.run([sys.executable, str(HERE / "make_models.py"), str(MODELS)], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if any("RWKV" in name for name in chosen):
        subprocess.run([sys.executable, str(HERE / "make_rwkv.py"), str(MODELS)], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    kept = json.loads((HERE / "results.json").read_text()) if options.keep else {}
    results = {**kept, "machine": machine(options), "cases": kept.get("cases", {})}
    for name, engines in chosen.items():
        results["cases"][name] = run_case(name, engines, options)
    results["cases"] = {name: results["cases"][name] for name in cases() if name in results["cases"]}
    if not options.no_quality:
        results["quality"] = measure_quality(options)
    text = table(results)
    print(text)
    if not options.print:
        (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        put_between_marks(ROOT / "README.md", "figures", text)


if __name__ == "__main__":
    main()
