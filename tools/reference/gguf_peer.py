"""Asks llama.cpp itself for what it makes of the GGUF files that `sumi convert` writes.

Every tiny folder of tests/data/language/ and tests/data/t5/ that sumi can convert becomes a float32 file, which llama.cpp reads
with a float32 cache: the logits of the case's prompt and 24 greedy ids must be those of its expected.safetensors (transformers',
so that neither side judges itself). T5 reads a text first, and its vocabulary's ids must be sentencepiece's. Needs llama-cpp-python and safetensors, as in bench/compare's environment.
Of all cases together it writes the table in docs/families.md.
Usage: python tools/reference/gguf_peer.py SUMI [case ...]
"""
import ctypes
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import llama_cpp
import numpy as np
from safetensors.numpy import load_file

DATA = Path(__file__).resolve().parents[2] / "tests/data/language"
T5 = DATA.parent / "t5"
TOKENIZERS = DATA.parent / "tokenizers"
PAGE = DATA.parents[2] / "docs/families.md"
TOLERANCE = 5e-3  # of the largest logit: llama.cpp takes GELU from a table of f16; without GELU 1e-5 is usual

# What llama.cpp (of llama-cpp-python 0.3.36) cannot do with a file that is as it should be.
KNOWN = {
    "baichuan_7b": "it knows the kind of positions by 32 or 40 layers alone",
    "chatglm2": "it wants heads times their size to be the hidden size",
    "glm": "it wants heads times their size to be the hidden size",
    "mpt_normed": "it stops at norms of queries",
    "starcoder2_plain": "it wants biases",
}


class LlamaCpp:
    """One model with an empty cache."""

    def __init__(self, path):
        self.log = []
        # Kept, as the library calls it as long as it lives.
        self.hear = llama_cpp.llama_log_callback(lambda level, text, data: self.log.append(text.decode(errors="replace")))
        llama_cpp.llama_log_set(self.hear, None)
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        if not self.model:
            self.refuse()
        options = llama_cpp.llama_context_default_params()
        options.n_ctx = options.n_batch = options.n_ubatch = 256
        options.type_k = options.type_v = llama_cpp.GGML_TYPE_F32
        options.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        options.n_threads = options.n_threads_batch = 1
        options.embeddings = not llama_cpp.llama_model_has_decoder(self.model)
        options.pooling_type = llama_cpp.LLAMA_POOLING_TYPE_NONE
        self.context = llama_cpp.llama_init_from_model(self.model, options)
        if not self.context:
            self.refuse()
        self.vocab_size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        self.batch = llama_cpp.llama_batch_init(256, 0, 1)

    def refuse(self):
        sys.exit(next((line.strip() for line in self.log if "error" in line), "no reason given"))

    def fill(self, ids, start):
        batch = self.batch
        batch.n_tokens = len(ids)
        for i, token in enumerate(ids):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = int(token), start + i, 1, True
            batch.seq_id[i][0] = 0
        return batch

    @staticmethod
    def array(pointer, *shape):
        return np.ctypeslib.as_array(ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float)), shape).copy()

    def logits(self, ids, start):
        """[len(ids), vocab_size], of ids at the positions from start on."""
        if llama_cpp.llama_decode(self.context, self.fill(ids, start)) != 0:
            sys.exit("llama_decode failed")
        return self.array(llama_cpp.llama_get_logits(self.context), len(ids), self.vocab_size)

    def read(self, ids):
        """An encoder reads a text; one without a decoder gives its output, [len(ids), hidden size]."""
        if llama_cpp.llama_encode(self.context, self.fill(ids, 0)) != 0:
            sys.exit("llama_encode failed")
        if not llama_cpp.llama_model_has_decoder(self.model):
            return self.array(llama_cpp.llama_get_embeddings(self.context), len(ids), llama_cpp.llama_model_n_embd(self.model))

    def tokens(self, text):
        ids = (llama_cpp.llama_token * (len(text) + 8))()
        vocabulary = llama_cpp.llama_model_get_vocab(self.model)
        count = llama_cpp.llama_tokenize(vocabulary, text, len(text), ids, len(ids), True, True)
        return list(ids[:count])


def relative(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


def folder_of(name):
    return (T5 if (T5 / name).exists() else DATA) / name


def judge_greedy(difference, rows, greedy, scale, more=""):
    """rows: the logits from which each greedy id was taken."""
    near = TOLERANCE * scale
    same = sum(int(row.argmax()) == token for row, token in zip(rows, greedy))
    tied = sum(row.max() - row[token] < near for row, token in zip(rows, greedy)) - same
    outcome = "equal" if same + tied == len(greedy) and difference < TOLERANCE else "DIFFERENT"
    print(f"{outcome:12} logits {difference:.1e}, greedy ids {same} of {len(greedy)}" + f", {tied} ties" * bool(tied) + more)


def same_texts(engine):
    """How many of the texts have the ids that sentencepiece gives them."""
    texts = [bytes.fromhex(text) for text in json.loads((TOKENIZERS / "texts.json").read_text())]
    expected = json.loads((TOKENIZERS / "folders/t5/expected.json").read_text())
    ids = [whole or plain for whole, plain in zip(expected["ids"], expected["plain"])]
    return sum(engine.tokens(text) == i for text, i in zip(texts, ids)), len(texts)


def judge_t5(name, engine, expected):
    read = engine.read(expected["source_ids"])
    if read is not None:
        difference = relative(read, expected["encoded"])
        print(f"{'equal' if difference < TOLERANCE else 'DIFFERENT':12} the encoder's output {difference:.1e}")
        return
    target, greedy = expected["target_ids"], expected["greedy_ids"]
    difference = relative(engine.logits(target, 0), expected["logits"])
    llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(engine.context), True)
    engine.read(expected["source_ids"])
    rows = [engine.logits([token], i)[0] for i, token in enumerate([target[0], *greedy[:-1]])]
    has_vocabulary = any((T5 / name / file).exists() for file in ("spiece.model", "tokenizer.json"))
    more = "; ids of {} of {} texts".format(*same_texts(engine)) if has_vocabulary else ""
    judge_greedy(difference, rows, greedy, np.abs(expected["logits"]).max(), more)


def judge(name, file, window):
    """Prints llama.cpp's outcome for one file, of the first `window` positions if that is not 0."""
    expected = load_file(folder_of(name) / "expected.safetensors")
    engine = LlamaCpp(file)
    if "source_ids" in expected:
        return judge_t5(name, engine, expected)
    prompt = expected["prompt_ids"]
    logits = engine.logits(prompt, 0)
    if int(window):
        difference = np.abs(logits - expected["logits"])[:int(window)].max() / np.abs(expected["logits"]).max()
        print(f"{'equal' if difference < TOLERANCE else 'DIFFERENT':12} logits {difference:.1e} within the window of {window}")
        return
    # Each id is asked for after the ones expected, so that a tie does not change what follows.
    greedy = expected["greedy_ids"]
    rows = [logits[-1]] + [engine.logits([token], len(prompt) + i)[0] for i, token in enumerate(greedy[:-1])]
    judge_greedy(relative(logits, expected["logits"]), rows, greedy, np.abs(expected["logits"]).max())


def check(sumi, name, folder):
    file = Path(folder) / f"{name}.gguf"
    done = subprocess.run([sumi, "convert", str(folder_of(name)), str(file), "--dtype", "f32"], capture_output=True, text=True)
    if done.returncode != 0:
        return "not written  " + done.stderr.strip().splitlines()[-1].replace(str(folder_of(name).parent) + "/", "")
    ignored = re.search(r"sliding window: beyond (\d+)", done.stdout)
    # In a process of its own: llama.cpp aborts at some files.
    done = subprocess.run([sys.executable, __file__, "--judge", name, str(file),
                           ignored.group(1) if ignored else "0"], capture_output=True, text=True,
                          env={**os.environ, "GGML_NO_BACKTRACE": "1"})
    if done.returncode != 0:
        return "REFUSED      " + (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
    return done.stdout.strip()


def main():
    llama_cpp.llama_backend_init()
    if sys.argv[1] == "--judge":
        return judge(*sys.argv[2:])
    sumi = str(Path(sys.argv[1]).resolve())
    names = sys.argv[2:] or sorted(p.parent.name for data in (DATA, T5) for p in data.glob("*/expected.safetensors")
                                   if not p.parent.name.startswith(("gguf_", "rwkv")))
    wrong, lines = 0, ["| case | outcome |", "|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            words = check(sumi, name, folder)
            if words.startswith(("REFUSED", "DIFFERENT")):
                wrong += name not in KNOWN
                words = f"known        {KNOWN[name]}" if name in KNOWN else words
            print(f"{name:24} {words}", flush=True)
            if words.startswith("equal"):
                lines.append(f"| {name} | {words.removeprefix('equal').strip()} |")
    if not sys.argv[2:]:
        text = PAGE.read_text()
        begin, end = "<!-- peer:begin -->\n", "<!-- peer:end -->"
        PAGE.write_text(text.split(begin)[0] + begin + "\n".join(lines) + "\n" + end + text.split(end)[1])
    sys.exit(f"{wrong} cases differ" if wrong else 0)


if __name__ == "__main__":
    main()
