"""Writes tests/data/t5/: tiny random T5 checkpoints and what transformers computes with them.

One folder per case (config.json, model.safetensors) and expected.safetensors:
  source_ids [S] i32, encoded [S, C] f32            a text read, and the encoder's output
  target_ids [T] i32, logits [T, V] f32             a text written (it begins with the start id), and its logits
  greedy_ids [24] i32                               what greedy decoding writes
  nll_ids [300] i32, nll [1] f32                    a long text written, without the start id, and its mean -log-likelihood
  loss [1] f32 and grad.<parameter>                 (some cases) mean cross entropy of predicting each next target id
Encoder-only cases have source_ids and encoded alone. Float32, eager attention, random and large weights.
The cases whose names end in _128 have the distances of all published models, the only ones that GGUF can express: t5_gguf.py makes
files of them. Two have a tokenizer, that of tests/data/tokenizers/folders/t5.
Usage: python tools/reference/t5.py [case ...]
"""
import json
import shutil
import sys
import zlib
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

DATA = Path(__file__).resolve().parents[2] / "tests" / "data"
OUT = DATA / "t5"
VOCAB = 131
PUBLISHED = dict(relative_attention_num_buckets=32, relative_attention_max_distance=128)


def config(**changes):
    base = dict(architectures=["T5ForConditionalGeneration"], model_type="t5", vocab_size=VOCAB, d_model=32, d_kv=8,
                d_ff=56, num_layers=2, num_heads=4, relative_attention_num_buckets=8,
                relative_attention_max_distance=20, layer_norm_epsilon=1e-6, feed_forward_proj="relu",
                decoder_start_token_id=0, pad_token_id=0, eos_token_id=1, tie_word_embeddings=True)
    return {**base, **changes}


CASES = {
    # The first release: tied, scaled, ReLU; heads wider than the model.
    "t5": (config(d_kv=12), dict(dtype=torch.bfloat16)),
    # T5 v1.1 and Flan-T5: gated, a head of its own, a decoder of another depth.
    "t5_gated": (config(feed_forward_proj="gated-gelu", tie_word_embeddings=False, num_decoder_layers=3, num_heads=3,
                        d_ff=40, num_layers=1), dict(separate_head=True, gradients=True)),
    "mt5": (config(architectures=["MT5ForConditionalGeneration"], model_type="mt5", feed_forward_proj="gated-gelu",
                   tie_word_embeddings=False), dict(dtype=torch.bfloat16)),
    # As published since mT5 was: a head of its own.
    "mt5_head": (config(architectures=["MT5ForConditionalGeneration"], model_type="mt5", feed_forward_proj="gated-gelu",
                        tie_word_embeddings=False), dict(dtype=torch.bfloat16, separate_head=True)),
    # A table of biases in every layer.
    "umt5": (config(architectures=["UMT5ForConditionalGeneration"], model_type="umt5", feed_forward_proj="gated-silu"),
             dict(dtype=torch.bfloat16)),
    # UL2's first release; d_kv and heads are as wide as the model there, too.
    "ul2": (config(**PUBLISHED, feed_forward_proj="gated-silu", tie_word_embeddings=False, num_decoder_layers=2),
            dict(dtype=torch.bfloat16, length=150, separate_head=True)),
    "t5_encoder": (config(architectures=["T5EncoderModel"]), dict(encoder=True, dtype=torch.bfloat16)),
    "t5_128": (config(**PUBLISHED, d_kv=12, vocab_size=352), dict(dtype=torch.bfloat16, length=150, tokenizer="spiece.model")),
    "t5_gated_128": (config(**PUBLISHED, feed_forward_proj="gated-gelu", tie_word_embeddings=False, num_decoder_layers=2,
                            num_heads=3, d_ff=40, num_layers=3, decoder_start_token_id=5, vocab_size=352),
                     dict(separate_head=True, tokenizer="tokenizer.json")),
    "umt5_128": (config(**PUBLISHED, architectures=["UMT5ForConditionalGeneration"], model_type="umt5",
                        feed_forward_proj="gated-gelu", tie_word_embeddings=False),
                 dict(dtype=torch.bfloat16, length=150, separate_head=True)),
    "t5_encoder_128": (config(**PUBLISHED, architectures=["T5EncoderModel"]),
                       dict(encoder=True, dtype=torch.bfloat16, length=150)),
}


def randomize(model, dtype):
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "norm" in name:
                value = 1 + 0.3 * torch.randn_like(p)
            elif "relative_attention_bias" in name:
                value = torch.randn_like(p)
            elif "shared" in name or "embed" in name:
                # A tied head sees the token's own embedding in the residual stream: small ones keep the layers visible.
                value = torch.randn_like(p) * 0.15
            else:  # scores are not scaled: moderate queries and keys
                value = torch.randn_like(p) * (1.0 if ".q." in name or ".k." in name else 2.5) / p.shape[1] ** 0.5
            p.copy_(value.to(dtype).float())


def write_case(name):
    settings, options = CASES[name]
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings, indent=1) + "\n")
    torch.manual_seed(zlib.crc32(name.encode()))
    read = transformers.AutoConfig.from_pretrained(folder)
    encoder = options.get("encoder", False)
    kind = transformers.T5EncoderModel if encoder else transformers.AutoModelForSeq2SeqLM
    model = (kind(read) if encoder else kind.from_config(read, attn_implementation="eager")).float().eval()
    dtype = options.get("dtype", torch.float32)
    if options.get("separate_head"):
        model.lm_head.weight = torch.nn.Parameter(torch.empty(settings["vocab_size"], settings["d_model"]))
        model.config.scale_decoder_outputs = False
    randomize(model, dtype)
    tensors = {n: p.detach().to(dtype).contiguous() for n, p in model.named_parameters() if "embed_tokens" not in n}
    if not options.get("separate_head"):
        tensors.pop("lm_head.weight", None)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    vocabulary = DATA / "tokenizers/folders/t5"
    if options.get("tokenizer") == "spiece.model":
        shutil.copy(vocabulary / "spiece.model", folder)
    elif options.get("tokenizer"):  # as transformers converts it
        transformers.AutoTokenizer.from_pretrained(vocabulary).save_pretrained(folder)
    vocab = settings["vocab_size"]
    source = torch.randint(2, vocab, (1, options.get("length", 45)))
    expected = {"source_ids": source[0].int()}
    with torch.no_grad():
        encoded = model.get_encoder()(source).last_hidden_state
        expected["encoded"] = encoded[0].contiguous()
        if not encoder:
            target = torch.cat([torch.full((1, 1), settings["decoder_start_token_id"]), torch.randint(2, vocab, (1, 33))], dim=1)
            expected["target_ids"] = target[0].int()
            expected["logits"] = model(source, decoder_input_ids=target).logits[0].contiguous()
            # Without an id that ends the text.
            written = target[:, :1]
            for _ in range(24):
                logits = model(source, decoder_input_ids=written).logits[:, -1]
                written = torch.cat([written, logits.argmax(-1, keepdim=True)], dim=1)
            expected["greedy_ids"] = written[0, 1:].int().contiguous()
    if options.get("gradients"):
        logits = model(source, decoder_input_ids=target).logits
        loss = torch.nn.functional.cross_entropy(logits[0, :-1], target[0, 1:])
        loss.backward()
        expected["loss"] = loss.detach().reshape(1)
        for parameter, p in model.named_parameters():
            if p.grad is not None:
                expected["grad." + parameter] = p.grad.contiguous()
    if not encoder:
        written = torch.randint(2, vocab, (1, 300))
        expected["nll_ids"] = written[0].int()
        with torch.no_grad():  # labels: the decoder reads them one place later
            expected["nll"] = model(source, labels=written).loss.reshape(1)
    save_file(expected, folder / "expected.safetensors")
    if not encoder:
        assert len(set(expected["greedy_ids"].tolist())) > 4, expected["greedy_ids"]


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    for case in sys.argv[1:] or CASES:
        write_case(case)
        print(case, sum(f.stat().st_size for f in (OUT / case).iterdir()))
