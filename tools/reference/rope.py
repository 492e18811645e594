"""Rotary frequencies of each scaling as transformers computes them -> tests/data/ops/rope.txt.

One case per line: scaling rotary_dim theta factor original_max_positions low_freq_factor
high_freq_factor beta_fast beta_slow attention_factor mscale mscale_all_dim truncate max_position |
magnitude | frequencies.
"""

import pathlib

from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data" / "ops" / "rope.txt"

CASES = [
    dict(kind="none", dim=64, theta=10000.0),
    dict(kind="none", dim=128, theta=500000.0),
    dict(kind="linear", dim=64, theta=10000.0, factor=4.0),
    dict(kind="dynamic", dim=64, theta=10000.0, factor=2.0, original=2048, length=1000),
    dict(kind="dynamic", dim=64, theta=10000.0, factor=2.0, original=2048, length=5000),
    dict(kind="dynamic", dim=128, theta=1000000.0, factor=8.0, original=4096, length=40000),
    dict(kind="llama3", dim=128, theta=500000.0, factor=8.0, original=8192, low=1.0, high=4.0),
    dict(kind="llama3", dim=64, theta=500000.0, factor=32.0, original=8192, low=1.0, high=4.0),
    dict(kind="llama3", dim=16, theta=10000.0, factor=4.0, original=64, low=1.0, high=8.0),
    dict(kind="yarn", dim=128, theta=1000000.0, factor=4.0, original=32768),
    dict(kind="yarn", dim=64, theta=10000.0, factor=40.0, original=4096, mscale=1.0, mscale_all=0.8),
    dict(kind="yarn", dim=64, theta=10000.0, factor=16.0, original=4096, mscale=0.707),
    dict(kind="yarn", dim=64, theta=150000.0, factor=32.0, original=4096, truncate=False),
    dict(kind="yarn", dim=96, theta=10000.0, factor=8.0, original=2048, attention=1.25,
         fast=24.0, slow=2.0),
    dict(kind="yarn", dim=16, theta=10000.0, factor=0.5, original=128),
]


def frequencies(case):
    parameters = {"rope_type": "default" if case["kind"] == "none" else case["kind"],
                  "rope_theta": case["theta"]}
    names = {"factor": "factor", "low": "low_freq_factor", "high": "high_freq_factor",
             "fast": "beta_fast", "slow": "beta_slow", "attention": "attention_factor",
             "mscale": "mscale", "mscale_all": "mscale_all_dim", "truncate": "truncate"}
    for short, name in names.items():
        if short in case:
            parameters[name] = case[short]
    maximum = case.get("original", 2048)
    if case["kind"] in ("llama3", "yarn"):
        parameters["original_max_position_embeddings"] = maximum
    config = LlamaConfig(hidden_size=case["dim"], num_attention_heads=1, head_dim=case["dim"],
                         max_position_embeddings=maximum, rope_parameters=parameters)
    if case["kind"] == "none":
        from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
        return LlamaRotaryEmbedding.compute_default_rope_parameters(config)
    return ROPE_INIT_FUNCTIONS[case["kind"]](config, "cpu", seq_len=case.get("length"))


def main():
    lines = []
    for case in CASES:
        inverse, magnitude = frequencies(case)
        fields = [case["kind"], case["dim"], case["theta"], case.get("factor", 1),
                  case.get("original", 0), case.get("low", 1), case.get("high", 4),
                  case.get("fast", 32), case.get("slow", 1), case.get("attention", 0),
                  case.get("mscale", 0), case.get("mscale_all", 0),
                  int(case.get("truncate", True)), case.get("length", 0)]
        lines.append(" ".join(str(f) for f in fields) + f" | {magnitude!r} | "
                     + " ".join(f"{v:.9g}" for v in inverse.tolist()))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
