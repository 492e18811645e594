"""The conversations that chat templates are rendered with."""

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "Weather of a city: <now> & \"later\"",
    "parameters": {"type": "object", "properties": {
        "city": {"type": "string", "description": "The city's name"},
        "days": {"type": "integer", "default": 1},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}}, "required": ["city"]},
    "return": {"type": "object", "description": "a forecast"}}}
SEARCH = {"type": "function", "function": {
    "name": "search", "description": "Sucht — 検索",
    "parameters": {"type": "object", "properties": {
        "query": {"type": "string", "description": "text"},
        "tags": {"type": "array", "items": {"type": "string"}, "description": "tags"}}, "required": []}}}


def say(role, content, **more):
    return {"role": role, "content": content, **more}


def conversations():
    """(title, variables) of each conversation."""
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    simple = [say("user", "Hello, who are you?")]
    turns = [say("system", "You are terse.\nAlways."), say("user", "  2 + 2?  "),
             say("assistant", "4\n"), say("user", "And <b>3</b> & 'more'?"), say("assistant", " 7 "),
             say("user", "Thanks!")]
    call = {"id": "call00001", "type": "function",
            "function": {"name": "get_weather", "arguments": {"city": "Zürich", "days": 2}}}
    text_call = {"id": "call00002", "type": "function",
                 "function": {"name": "search", "arguments": "{\"query\": \"snow\"}"}}
    tool_turns = [say("system", "Use tools."), say("user", "Weather in Zürich?"),
                  say("assistant", "", tool_calls=[call]),
                  say("tool", "{\"sky\": \"grey\", \"t\": -3.5}", name="get_weather", tool_call_id="call00001"),
                  say("assistant", "Grey, -3.5 degrees."), say("user", "Why?")]
    two_calls = [say("user", "Two things"),
                 {"role": "assistant", "content": None, "tool_calls": [call, text_call]},
                 say("tool", "rain", name="get_weather", tool_call_id="call00001"),
                 say("tool", "none", name="search", tool_call_id="call00002")]
    thinking = [say("user", "Think."),
                say("assistant", "<think>\nhm, so\n</think>\n\nDone."), say("user", "Again."),
                say("assistant", "Yes.", reasoning_content="because")]
    unicode = [say("system", "Antworte höflich. 👩‍👩‍👧 ﬁn"), say("user", "日本語で「こんにちは」\u00a0\u2028x"),
               say("assistant", "こんにちは🙂"), say("user", "Ωmega Σ ç\tTab \\ back\x07")]
    parts = [say("system", [{"type": "text", "text": "Be kind."}]),
             say("user", [{"type": "text", "text": "What is "}, {"type": "image"}, {"type": "text", "text": "this?"}])]
    misordered = [say("user", "a"), say("user", "b"), say("assistant", "c"), say("assistant", "d")]
    plain = dict(special, add_generation_prompt=True)
    return [
        ("one turn", dict(plain, messages=simple)),
        ("one turn, no prompt", dict(special, messages=simple, add_generation_prompt=False)),
        ("system and turns", dict(plain, messages=turns)),
        ("turns that end with the assistant", dict(special, messages=turns[:5], add_generation_prompt=False)),
        ("tools offered", dict(plain, messages=simple, tools=[WEATHER, SEARCH])),
        ("system and tools offered", dict(plain, messages=turns[:2], tools=[SEARCH], date_string="26 Jul 2024")),
        ("tool used", dict(plain, messages=tool_turns, tools=[WEATHER, SEARCH], documents=None)),
        ("two tools used", dict(plain, messages=two_calls, tools=[WEATHER, SEARCH])),
        ("thinking", dict(plain, messages=thinking, enable_thinking=True)),
        ("thinking off", dict(plain, messages=simple, enable_thinking=False, thinking=False,
                              reasoning_effort="low")),
        ("unicode", dict(plain, messages=unicode, tools=None)),
        ("parts", dict(plain, messages=parts)),
        ("misordered roles", dict(plain, messages=misordered)),
        ("unknown role", dict(plain, messages=[say("narrator", "Once"), say("user", "?")])),
        ("no messages", dict(plain, messages=[])),
        ("documents", dict(plain, messages=simple, documents=[
            {"title": "A", "text": "alpha", "doc_id": 1}, {"title": "B", "text": "beta"}])),
    ]
