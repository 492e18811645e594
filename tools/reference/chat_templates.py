#!/usr/bin/env python3
"""Expected renderings of chat templates, by Jinja2 in transformers' settings.

    chat_templates.py                     writes tests/data/templates/{families,cases}.json
    chat_templates.py --compare PROGRAM FOLDER
        renders every *.jinja of FOLDER with Jinja2 and with PROGRAM (tools/reference/render_lines.cc, which
        reads one JSON object a line) over the same conversations, and prints what differs.
"""

import argparse
import datetime
import json
import pathlib
import subprocess
import sys
import time

from transformers.utils import chat_template_utils

from template_cases import CASES, UNSUPPORTED
from template_conversations import conversations
from template_families import FAMILIES

NOW = 1721000000  # what strftime_now shows, in UTC
DATA = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data" / "templates"


class FixedClock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(NOW, datetime.timezone.utc).replace(tzinfo=None)


chat_template_utils.datetime = FixedClock


def render(template, variables):
    """{"expected": text} or {"error": message}."""
    try:
        text = chat_template_utils._compile_jinja_template(template).render(**variables)
        text.encode()
    except Exception as error:  # whatever Python raises is an error of the template
        return {"error": f"{type(error).__name__}: {error}"}
    return {"expected": text}


def write(name, rows):
    DATA.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (DATA / name).write_text(f"[\n{lines}\n]\n")
    print(f"{name}: {len(rows)} lines, {sum('error' in row for row in rows)} errors")


def write_all():
    rows = []
    for name, template in FAMILIES.items():
        results = []
        for title, variables in conversations():
            results.append({"title": title, **render(template, variables)})
        rows.append({"name": name, "template": template, "results": results})
    shared = [{"title": title, "variables": variables} for title, variables in conversations()]
    DATA.mkdir(parents=True, exist_ok=True)
    with open(DATA / "families.json", "w") as file:
        json.dump({"now": NOW, "conversations": shared, "families": rows}, file, ensure_ascii=False,
                  indent=1)
        file.write("\n")
    errors = sum("error" in r for row in rows for r in row["results"])
    print(f"families.json: {len(rows)} templates x {len(shared)} conversations, {errors} errors")
    kinds, rows = [], []
    for template, variables in CASES:
        if variables not in kinds:
            kinds.append(variables)
        result = {"error": "unsupported"} if template in UNSUPPORTED else render(template, variables)
        rows.append({"template": template, "variables": kinds.index(variables), **result})
    write("cases.json", rows)
    write("case_variables.json", kinds)


def compare(program, folder):
    rows = []
    for path in sorted(pathlib.Path(folder).glob("*.jinja")):
        for title, variables in conversations():
            rows.append((path.name, title, path.read_text(), variables))
    lines = "".join(json.dumps({"template": t, "variables": v, "now": NOW}) + "\n"
                    for _, _, t, v in rows)
    output = subprocess.run([program], input=lines, text=True, capture_output=True, check=True,
                            env={"TZ": "UTC"}).stdout.split("\n")[:-1]
    assert len(output) == len(rows), f"{len(output)} answers to {len(rows)} questions"
    same = errors = different = 0
    for (name, title, template, variables), line in zip(rows, output):
        ours, theirs = json.loads(line), render(template, variables)
        if "error" in ours and "error" in theirs:
            errors += 1
        elif ours.get("expected") == theirs.get("expected") and "expected" in ours:
            same += 1
        else:
            different += 1
            print(f"--- {name}, {title}\n  jinja2: {theirs}\n  sumi:   {ours}"[:1500])
    print(f"{same} texts equal, {errors} errors in both, {different} different")
    return 1 if different else 0


if __name__ == "__main__":
    time.tzset()
    parser = argparse.ArgumentParser()
    parser.add_argument("--compare", nargs=2, metavar=("PROGRAM", "FOLDER"))
    options = parser.parse_args()
    if options.compare:
        sys.exit(compare(*options.compare))
    write_all()
