"""Templates of our own, each in the published prompt format of one model family and with the Jinja constructs that
family's templates use, in the order of tests/data/templates/families.json."""

from template_tools import TOOLS
from template_turns import TURNS

FAMILIES = {name: {**TURNS, **TOOLS}[name] for name in """
    chatml smollm2 llama2 llama3 llama3.1 mistral-v1 mistral-v3 gemma2 gemma3 qwen2.5 qwen3 phi3 phi4
    deepseek2 deepseek-r1 zephyr starchat smollm3 glm4 chatglm3 command-r vicuna alpaca falcon olmo
    granite gpt-oss
""".split()}
assert len(FAMILIES) == len(TURNS) + len(TOOLS)
