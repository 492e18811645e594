"""Measures one other engine in its own process and prints one JSON line.

    peers.py ENGINE MODEL --threads N [--prompt 512] [--new 128] [--repeat 2]
    peers.py llama.cpp MODEL --perplexity IDS.json

ENGINE: llama.cpp, openvino, ctranslate2, transformers, transformers-f32, rwkv-bf16 or rwkv-f32. Each repetition takes fresh random ids (so that a cache
of prefixes cannot help), processes the prompt, then decodes greedily; one unmeasured repetition comes first.
"""

import argparse
import contextlib
import json
import math
import os
import random
import resource
import sys
import time


def fresh_ids(generator, count, vocab_size):
    """Ids without the first 300, where special tokens and single bytes live."""
    return [generator.randrange(300, vocab_size) for _ in range(count)]


class LlamaCpp:
    def __init__(self, model, threads, context=1024):
        import llama_cpp
        import numpy

        self.api, self.numpy = llama_cpp, numpy
        self.version = llama_cpp.__version__
        llama_cpp.llama_backend_init()
        self.silence = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self.silence, None)
        self.model = llama_cpp.llama_model_load_from_file(
            model.encode(), llama_cpp.llama_model_default_params())
        if not self.model:
            sys.exit(f"llama.cpp cannot load {model}")
        options = llama_cpp.llama_context_default_params()
        options.n_ctx = context
        options.n_batch = options.n_ubatch = 512
        options.n_threads = options.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, options)
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)
        self.vocab_size = llama_cpp.llama_vocab_n_tokens(self.vocab)
        self.batch = llama_cpp.llama_batch_init(512, 0, 1)

    def clear(self):
        self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)

    def fill(self, ids, start, all_logits=False):
        batch = self.batch
        batch.n_tokens = len(ids)
        for i, token in enumerate(ids):
            batch.token[i] = token
            batch.pos[i] = start + i
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = 0
            batch.logits[i] = all_logits or i == len(ids) - 1
        return batch

    def decode(self, ids, start, all_logits=False):
        if self.api.llama_decode(self.context, self.fill(ids, start, all_logits)) != 0:
            sys.exit("llama.cpp: llama_decode failed")
        rows = len(ids) if all_logits else 1
        logits = self.api.llama_get_logits(self.context)
        return self.numpy.ctypeslib.as_array(logits, shape=(rows, self.vocab_size))

    def measure(self, ids, new):
        self.clear()
        start = time.perf_counter()
        if self.api.llama_model_has_encoder(self.model):
            if self.api.llama_encode(self.context, self.fill(ids, 0, True)) != 0:
                sys.exit("llama.cpp: llama_encode failed")
            token, first = self.api.llama_model_decoder_start_token(self.model), 0
        else:
            token, first = int(self.decode(ids, 0)[0].argmax()), len(ids)
        prefill = time.perf_counter() - start
        start = time.perf_counter()
        for i in range(new):
            token = int(self.decode([token], first + i)[0].argmax())
        return prefill, time.perf_counter() - start

    def tokenize(self, text):
        data = text.encode()
        room = (self.api.llama_token * len(data))()
        count = self.api.llama_tokenize(self.vocab, data, len(data), room, len(data), False, False)
        return list(room[:count])

    def nll(self, ids):
        """Sum over ids[1:] of -log p(id | the ids before it)."""
        self.clear()
        total = 0.0
        for start in range(0, len(ids), 512):
            piece = ids[start:start + 512]
            logits = self.decode(piece, start, all_logits=True).astype("float64")
            top = logits.max(axis=1)
            log_sum = top + self.numpy.log(self.numpy.exp(logits - top[:, None]).sum(axis=1))
            for i, row in enumerate(logits):
                if start + i + 1 < len(ids):
                    total += log_sum[i] - row[ids[start + i + 1]]
        return total


class OpenVino:
    def __init__(self, model, threads):
        import openvino
        import openvino_genai

        self.api, self.openvino = openvino_genai, openvino
        self.version = openvino_genai.__version__
        self.pipeline = openvino_genai.LLMPipeline(model, "CPU", INFERENCE_NUM_THREADS=threads)
        self.vocab_size = len(self.pipeline.get_tokenizer().get_vocab())

    def measure(self, ids, new):
        import numpy

        options = self.api.GenerationConfig()
        options.max_new_tokens = new + 1
        options.ignore_eos = True
        options.do_sample = False
        tensor = self.openvino.Tensor(numpy.array([ids], dtype=numpy.int64))
        mask = self.openvino.Tensor(numpy.ones((1, len(ids)), dtype=numpy.int64))
        result = self.pipeline.generate(self.api.TokenizedInputs(tensor, mask), options)
        if len(result.tokens[0]) != new + 1:
            sys.exit(f"OpenVINO GenAI: {len(result.tokens[0])} tokens, expected {new + 1}")
        metrics = result.perf_metrics
        return metrics.get_ttft().mean / 1e3, metrics.get_tpot().mean / 1e3 * new


class CTranslate2:
    def __init__(self, model, threads):
        import ctranslate2

        self.version = ctranslate2.__version__
        self.generator = ctranslate2.Generator(
            model, compute_type="int8", inter_threads=1, intra_threads=threads)
        with open(os.path.join(model, "vocabulary.json")) as file:
            self.vocabulary = json.load(file)
        self.vocab_size = len(self.vocabulary)

    def measure(self, ids, new):
        tokens = [self.vocabulary[i] for i in ids]
        times = []
        for count in (1, new + 1):
            start = time.perf_counter()
            self.generator.generate_batch([tokens], max_length=count, min_length=count,
                                          include_prompt_in_result=False, sampling_topk=1)
            times.append(time.perf_counter() - start)
        return times[0], times[1] - times[0]


class Transformers:
    precision = "bfloat16"

    def __init__(self, model, threads):
        import torch
        import transformers

        torch.set_num_threads(threads)
        self.torch, self.version = torch, transformers.__version__
        config = transformers.AutoConfig.from_pretrained(model)
        self.encoder_decoder = config.is_encoder_decoder
        kind = transformers.AutoModelForSeq2SeqLM if self.encoder_decoder else transformers.AutoModelForCausalLM
        self.model = kind.from_pretrained(model, dtype=getattr(torch, self.precision)).eval()
        self.vocab_size = config.vocab_size

    def measure(self, ids, new):
        torch = self.torch
        with torch.inference_mode():
            if self.encoder_decoder:
                return self.measure_both(ids, new)
            start = time.perf_counter()
            out = self.model(torch.tensor([ids]), use_cache=True, logits_to_keep=1)
            kept = "state" if hasattr(out, "state") else "past_key_values"  # RWKV's is a state
            token = out.logits[0, -1].argmax()
            prefill = time.perf_counter() - start
            start = time.perf_counter()
            for _ in range(new):
                out = self.model(token.view(1, 1), use_cache=True, **{kept: getattr(out, kept)})
                token = out.logits[0, -1].argmax()
            return prefill, time.perf_counter() - start


    def measure_both(self, ids, new):
        """An encoder's pass over the ids and the decoder's first step, then its other steps."""
        torch = self.torch
        start = time.perf_counter()
        token = torch.tensor([[self.model.config.decoder_start_token_id]])
        encoded = self.model.get_encoder()(torch.tensor([ids]))
        out = self.model(encoder_outputs=encoded, decoder_input_ids=token, use_cache=True)
        prefill = time.perf_counter() - start
        start = time.perf_counter()
        for _ in range(new):
            token = out.logits[:, -1:].argmax(-1)
            out = self.model(encoder_outputs=encoded, decoder_input_ids=token, use_cache=True,
                             past_key_values=out.past_key_values)
        return prefill, time.perf_counter() - start


class TransformersF32(Transformers):
    precision = "float32"


class Rwkv:
    """The author's own package, in one of the precisions it computes in."""

    precision = None

    def __init__(self, model, threads):
        os.environ["RWKV_JIT_ON"] = "1"
        import importlib.metadata

        import torch

        torch.set_num_threads(threads)
        with contextlib.redirect_stdout(sys.stderr):  # it prints what it loads
            from rwkv.model import RWKV

            self.model = RWKV(model=model.removesuffix(".pth"), strategy="cpu " + self.precision, verbose=False)
        self.version = importlib.metadata.version("rwkv")
        self.vocab_size = self.model.w["head.weight"].shape[-1]

    def measure(self, ids, new):
        start = time.perf_counter()
        logits, state = self.model.forward(ids, None)
        token = int(logits.argmax())
        prefill = time.perf_counter() - start
        start = time.perf_counter()
        for _ in range(new):
            logits, state = self.model.forward([token], state)
            token = int(logits.argmax())
        return prefill, time.perf_counter() - start


class RwkvBf16(Rwkv):
    precision = "bf16"


class RwkvF32(Rwkv):
    precision = "fp32"


ENGINES = {
    "llama.cpp": LlamaCpp,
    "openvino": OpenVino,
    "ctranslate2": CTranslate2,
    "transformers": Transformers,
    "transformers-f32": TransformersF32,
    "rwkv-bf16": RwkvBf16,
    "rwkv-f32": RwkvF32,
}


def measure(arguments):
    start = time.perf_counter()
    engine = ENGINES[arguments.engine](arguments.model, arguments.threads)
    load = time.perf_counter() - start
    generator = random.Random()
    prefill, decode = [], []
    for repetition in range(arguments.repeat + 1):
        ids = fresh_ids(generator, arguments.prompt, engine.vocab_size)
        times = engine.measure(ids, arguments.new)
        if repetition > 0:
            prefill.append(arguments.prompt / times[0])
            decode.append(arguments.new / times[1])
    return {
        "version": engine.version,
        "load_s": load,
        "prefill_tokens_per_s": prefill,
        "decode_tokens_per_s": decode,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def perplexity(arguments):
    """Of a text cut into windows of `window` tokens, each from an empty context."""
    engine = LlamaCpp(arguments.model, arguments.threads, arguments.window)
    with open(arguments.perplexity) as file:
        ids = engine.tokenize(file.read())
    windows = [ids[i:i + arguments.window] for i in range(0, len(ids), arguments.window)]
    windows = [window for window in windows if len(window) > 1]
    nll = [engine.nll(window) for window in windows]
    count = sum(len(window) - 1 for window in windows)
    mean = sum(nll) / count
    return {"windows": windows, "tokens": count, "nll": mean, "perplexity": math.exp(mean)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--new", type=int, default=128)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--perplexity", metavar="TEXT_FILE", help="llama.cpp only")
    parser.add_argument("--window", type=int, default=1024)
    arguments = parser.parse_args()
    result = perplexity(arguments) if arguments.perplexity else measure(arguments)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
