"""Writes tests/data/tokenizers/world/: a small vocabulary in the form of RWKV World's, and the ids that the tokenizer
of the PyPI package `rwkv` gives the texts of tokenizers/texts.json with it; and in expected_real.json those that it gives
them with the real vocabulary, which comes with it. Needs that package.
"""

import json
from pathlib import Path

import rwkv
from rwkv.rwkv_tokenizer import TRIE_TOKENIZER

DATA = Path(__file__).resolve().parents[2] / "tests" / "data" / "tokenizers"


def vocabulary():
    # As in the real one: single bytes first, those that are no character alone as bytes literals.
    tokens = [bytes([b]) for b in range(256)]
    words = ["\n\n", "\t\t", "  ", "   ", "    ", "\r\n", "'s", "\"'", "\\n", "the", "he", "Hello", "Hell", " World", " Wor",
             "World", "ell", "12", "123", "1234", "3.14", "é", "ü", "好", "你好", "日本", "世界", "🙂", "🙂👍", "🙂👍🏽",
             "\u200d", "\u00a0", "\ufffd", " \n", "\n "]
    tokens += [word.encode() for word in words]
    tokens += ["好".encode()[:2], "你好".encode()[:4], "🙂👍".encode()[:5], "é".encode()[1:] + b"a"]
    return tokens


def literal(token):
    try:
        return repr(token.decode())
    except UnicodeDecodeError:
        return repr(token)


def main():
    folder = DATA / "world"
    folder.mkdir(exist_ok=True)
    lines = [f"{i} {literal(token)} {len(token)}\n" for i, token in enumerate(vocabulary(), 1)]
    (folder / "vocabulary.txt").write_text("".join(lines), encoding="utf-8", newline="")
    texts = [bytes.fromhex(text).decode("utf-8", "replace") for text in json.loads((DATA / "texts.json").read_text())]
    real = Path(rwkv.__file__).parent / "rwkv_vocab_v20230424.txt"
    for path, name in (folder / "vocabulary.txt", "expected.json"), (real, "expected_real.json"):
        tokenizer = TRIE_TOKENIZER(str(path))
        ids = [tokenizer.encode(text) for text in texts]
        (folder / name).write_text(json.dumps(ids, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
