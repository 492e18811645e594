"""Makes a small instruction set from the manual pages of this machine: JSON lines with `messages`.

A question about a command and an answer after its page: what it is, and the first sentence of its description.
Usage: python3 make_data.py data.jsonl [--count 400] [--section 1] [--seed 1]
"""

import argparse
import glob
import gzip
import json
import random
import re

QUESTIONS = ["What does the command `{}` do?", "What is `{}` for?", "Explain the command `{}`.",
             "Tell me about `{}`.", "I found `{}` on my system. What is it?"]


def plain(text):
    """The text of roff source without its requests and escapes."""
    text = re.sub(r'(?m)^[.\']\s*\\".*$', "", text)
    text = re.sub(r"(?m)^[.'](?:B|I|BR|RB|BI|IB|IR|RI|SM|Nm|Fl|Ar|Xr|Pa)\s+(.*)$", r"\1", text)
    text = re.sub(r"(?m)^[.'].*$", "", text)
    text = re.sub(r"\\f(?:\[\w*\]|\(\w\w|\w)|\\s[+-]?\d|\\[&|^/,%:]|\\\*\(..|\\\*\[[^]]*\]", "", text)
    text = text.replace(r"\-", "-").replace(r"\(aq", "'").replace(r"\(co", "(c)").replace(r"\e", "\\")
    text = text.replace(r"\(lq", '"').replace(r"\(rq", '"').replace(r"\ ", " ").replace('"', "")
    return re.sub(r"\s+", " ", text).strip()


def sections(source):
    parts = re.split(r'(?m)^\.S[Hh]\s+"?([^"\n]+)"?\s*$', source)
    return {parts[i].strip().upper(): parts[i + 1] for i in range(1, len(parts) - 1, 2)}


def pair(path, random_):
    with gzip.open(path, "rt", encoding="utf-8", errors="strict") as file:
        found = sections(file.read(200_000))
    match = re.match(r"^([\w.+-]+)(?:,[^-]*)? - (.{10,90})$", plain(found.get("NAME", "")))
    first = re.match(r"^(.{30,250}?[.])(?: |$)", plain(found.get("DESCRIPTION", "")))
    if not match or not first or "\\" in match[0] + first[0]:
        return None
    name, what = match[1], match[2].rstrip(".")
    answer = f"**{name}** - {what}.\n\n{first[1]}\n\nRead more with `man {name}`."
    return {"messages": [{"role": "user", "content": random_.choice(QUESTIONS).format(name)},
                         {"role": "assistant", "content": answer}]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("output")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--section", default="1")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    random_ = random.Random(options.seed)
    paths = sorted(glob.glob(f"/usr/share/man/man{options.section}/*.{options.section}.gz"))
    random_.shuffle(paths)
    rows, answers = [], set()
    for path in paths:
        try:
            row = pair(path, random_)
        except (OSError, UnicodeDecodeError):
            continue
        # Many pages are copies of one another.
        if row and row["messages"][1]["content"].split("\n\n")[1] not in answers:
            answers.add(row["messages"][1]["content"].split("\n\n")[1])
            rows.append(row)
        if len(rows) == options.count:
            break
    with open(options.output, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    print(f"{len(rows)} pairs of {len(paths)} pages")


if __name__ == "__main__":
    main()
