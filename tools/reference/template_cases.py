"""One-line templates: (template, variables). chat_templates.py writes what Jinja2 makes of each."""

from template_filters import FILTERS
from template_values import VALUES

V = {"s": "Hello World", "u": "Zürich 日本🙂", "n": 7, "f": 2.5, "t": True, "none": None, "e": "",
     "l": [3, 1, 2], "d": {"b": 1, "a": 2, "items": "key", "C": 0}, "users": [
         {"name": "Ann", "age": 30, "on": True, "tags": ["x", "y"]},
         {"name": "bob", "age": 25, "on": False, "tags": []},
         {"name": "Cid", "age": 30, "on": True}],
     "m": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": None}],
     "nested": {"a": [1, {"b": [True, None, 1.5, "q'\"\n"]}], "é": "ü\u007f\u0001"}, "lines": "a\nb\r\n\nc\x0bd\u2028e"}

STATEMENTS = r"""
{% if x %}a{% elif n == 7 %}b{% else %}c{% endif %}
{% if none %}a{% elif e %}b{% else %}c{% endif %}
{% for i in l %}{{ i }},{% endfor %}
{% for i in [] %}x{% else %}empty{% endfor %}
{% for i in x %}x{% else %}undefined{% endfor %}
{% for i in none %}x{% endfor %}
{% for i in l %}{{ loop.index }}/{{ loop.length }}{{ "" if loop.last else ", " }}{% endfor %}
{% for i in l %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }};{% endfor %}
{% for i in l %}[{{ loop.previtem }}{{ loop.previtem is defined }}{{ loop.nextitem }}]{% endfor %}
{% for i in l %}{{ loop.cycle("a", "b") }}{% endfor %}
{% for i in [1, 1, 2] %}{{ loop.changed(i) }}{% endfor %}
{% for i in l %}{{ loop.depth }}{{ loop.depth0 }}{% endfor %}
{% for i in l %}{{ loop }}{% endfor %}
{% for i in l if i > 1 %}{{ i }}{{ loop.index }}{{ loop.length }}{{ loop.last }}{% else %}none{% endfor %}
{% for i in l if i > 5 %}{{ i }}{% else %}none{% endfor %}
{% for i in l if i > 1 %}{{ loop.nextitem }}{{ loop.previtem }};{% endfor %}
{% for i in l if loop.index > 1 %}{{ i }}{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}
{% for k, v in d | dictsort %}{{ k }}={{ v }};{% endfor %}
{% for k in d %}{{ k }}{% endfor %}
{% for (a, b) in [(1, 2), [3, 4], "xy"] %}{{ a }}{{ b }};{% endfor %}
{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for a, b in [(1, 2, 3)] %}{{ a }}{% endfor %}
{% for a, b in [1] %}{{ a }}{% endfor %}
{% for c in u %}{{ c }}.{% endfor %}
{% for i in 1, 2 %}{{ i }}{% endfor %}
{% for i in range(10) %}{% if i == 3 %}{% continue %}{% endif %}{% if i == 6 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% for i in l %}{% break %}{% else %}else{% endfor %}
{% for i in l %}{% for j in l %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}
{% for i in l %}{% set q = i %}{% endfor %}{{ q }}
{% set q = 0 %}{% for i in l %}{% set q = q + i %}{{ q }},{% endfor %}{{ q }}
{% set q = 0 %}{% if t %}{% set q = 1 %}{% endif %}{{ q }}
{% set ns = namespace(q=0) %}{% for i in l %}{% set ns.q = ns.q + i %}{% endfor %}{{ ns.q }}
{% set ns = namespace() %}{% set ns.a = [1] %}{{ ns.a }}{{ ns.b }}
{% set d.x = 1 %}
{% set zz.x = 1 %}
{% set ns = namespace() %}{% set ns._x = 1 %}
{% set a, b = 1, 2 %}{{ a }}{{ b }}
{% set a, b = (1,) %}{{ a }}
{% set (a, b) = "xy" %}{{ b }}{{ a }}
{% set ns = namespace() %}{% set ns.a, ns.b = 1, 2 %}{{ ns.a + ns.b }}
{% set a = 1, 2 %}{{ a }}
{% set a %}x{{ n }}{% endset %}{{ a | length }}{{ a }}
{% set a | upper | replace("A", "b") %}abc{% endset %}{{ a }}
{% set a %}{% set inner = 1 %}{% endset %}{{ inner }}
{% set true = 1 %}
{% set 1 = 1 %}
{% set a[0] = 1 %}
{% set a.b.c = 1 %}
{% for loop in l %}{% endfor %}
{% for i in l %}{% set loop = 1 %}{% endfor %}
{% set loop = 1 %}{{ loop }}
{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(b=4, a=5) }} {{ m() }}
{% macro m(a, b=a ~ "!") %}{{ b }}{% endmacro %}{{ m("x") }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, c=2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}
{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, c=3) }}
{% macro m(a, varargs) %}{{ varargs }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a=1, b) %}{% endmacro %}
{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}body {{ n }}{% endcall %}
{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b) m() %}{{ a + b }}{% endcall %}
{% macro m() %}{{ caller("x") }}{% endmacro %}{% call(a, b="d") m() %}{{ a }}{{ b }}{% endcall %}
{% macro m() %}x{% endmacro %}{% call m() %}body{% endcall %}
{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}
{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}
{% macro m(caller) %}{{ caller() }}{% endmacro %}
{% macro m() %}{{ q }}{% endmacro %}{% set q = 1 %}{{ m() }}{% set q = 2 %}{{ m() }}
{% macro m() %}{{ i }}{% endmacro %}{% for i in l %}{{ m() }}{% endfor %}
{% for i in l %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}
{% macro m() %}{% set q = 5 %}{% endmacro %}{{ m() }}{{ q }}
{% macro fact(k) %}{{ 1 if k < 2 else k * (fact(k - 1) | int) }}{% endmacro %}{{ fact(10) }}
{% macro m(x) %}{{ x }}{% endmacro %}{{ m.name }}{{ m.arguments }}{{ m }}
{% macro m() %} a {% endmacro %}[{{ m() | trim }}]{{ m() is string }}
{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}
{{ m() }}{% macro m() %}late{% endmacro %}
{% if t %}{% macro m() %}in if{% endmacro %}{% endif %}{{ m() }}
{% macro outer() %}{% macro inner() %}I{% endmacro %}{{ inner() }}{% endmacro %}{{ outer() }}{{ inner }}
{% macro loop_it(x) %}{% for i in x %}{{ i if i is not iterable else loop_it(i) }}{% endfor %}{% endmacro %}{{ loop_it([1, [2, [3, 4]], 5]) }}
{% filter upper %}abc {{ s }}{% endfilter %}
{% filter replace("a", "b") | upper %}banana{% endfilter %}
{% filter nope %}x{% endfilter %}
{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a }}
{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q }}
{% with a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}{% endwith %}
{% generation %}text {{ n }}{% endgeneration %}
{% generation %}{% set q = 1 %}{{ q }}{% endgeneration %}{{ q }}
{% for i in l %}{% generation %}{{ i }}{{ loop.index }}{% endgeneration %}{% endfor %}
{% for i in l %}{% generation %}{% break %}{% endgeneration %}{% endfor %}
{% print 1, "a" %}
{% raw %}{{ x }}{% if %}{% endraw %}!
a {% raw -%}  {{ x }}  {%- endraw %} b
{# comment #}x{# a
b #}y
{#- c -#}  z
a  {{- 1 -}}  b
a  {%- if t -%}  b  {%- endif -%}  c
a  {%+ if t %} b {% endif +%}  c
a {{+ 1 }}
a{# unfinished
{% if t %}
{% for i in l %}
{% endif %}
{% else %}
{% if t %}{% endfor %}{% endif %}
{% nope %}
{% do l %}
{% include "x" %}
{% extends "x" %}
{% import "x" as y %}
{% break %}
{% continue %}
{% %}
{{ }}
{{
{%
{{ 1
{{ 1 }
{% if %}{% endif %}
{% for in l %}{% endfor %}
{% for i l %}{% endfor %}
{% set %}
{% set a 1 %}
{% macro %}{% endmacro %}
{% call 1 %}{% endcall %}
{{ "}}" }}
{{ "%}" }}{{ {"a": {"b": 1}} }}
{{ {"a": 1}["a"] }}
{% if "%}" in "a%}" %}y{% endif %}
}} %} #} {
{ { 1 } }
{{ 1 }}{{ 2 }}
{% if false %}{{ s | nope }}{% endif %}ok
{% if true %}{{ s | nope }}{% endif %}ok
{% if false %}{% if s is nope %}{% endif %}{% endif %}ok
{% if false %}{% for i in l %}{{ i | nope }}{% endfor %}{% endif %}ok
{{ 1 if t else s | nope }}
{% for i in l %}{{ i | nope }}{% endfor %}
{% set f = joiner(", ") %}{% for i in l %}{{ f() }}{{ i }}{% endfor %}
{% set c = cycler(1, 2) %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.next() }}
{% set g = l | select("odd") %}{{ g | list }}{{ g | list }}
{% set g = l | map("string") %}{% for i in g %}{{ i }}{{ loop.last }}{% endfor %}{% for i in g %}{{ i }}{% endfor %}
{% set m2 = m + [{"role": "tool"}] %}{{ m2 | length }}{{ m | length }}
{% for u in users %}{{ u.name }}{% if not loop.last %}, {% endif %}{% endfor %}
{% for g in users | groupby("age") %}{{ g.grouper }}:{{ g.list | length }};{% endfor %}
{% for age, us in users | groupby("age") %}{{ age }}:{{ us | map(attribute="name") | join("+") }};{% endfor %}
{% set x = x %}{{ x is defined }}
{% if x is defined %}a{% endif %}{% set x = 1 %}{% if x is defined %}b{% endif %}
{% for i in l %}{% if loop.first %}{% set s = "inner" %}{% endif %}{{ s }};{% endfor %}
{% set s = s.upper() %}{{ s }}
{% for m in m %}{{ m.role }}{% endfor %}{{ m | length }}
{% for i in l recursive %}{{ i }}{% endfor %}
{% block a %}x{% endblock %}
{% autoescape true %}x{% endautoescape %}
""".strip("\n")

WHITESPACE = [
    "a\n{% if true %}\nb\n{% endif %}\nc\n", "  {% if true %}  \n  b\n  {% endif %}\n", "a {% if true %}\n b{% endif %}\n\nc",
    "\n\n{{ 1 }}\n\n", "{{ 1 }}\n", "{{ 1 }}\n\n", "  {{ 1 }}\n  {{- 2 }}\n  {{ 3 -}}\n  4",
    "  {# c #}\n  x\n", "x  {# c #}\ny", "  {#- c -#}\n  x", "{%- set a = 1 -%}\n\n  {{ a }}\n  {%- set b = 2 %}\n  {{ b }}",
    "a\r\nb\rc\n{% set q = 1 %}\r\nd\r\n", "\t{% set a = 1 %}\n\t{%+ set b = 2 %}\n\t{{ a }}",
    "{% for i in [1,2] %}\n  {{ i }}\n{% endfor %}\nend", "{% for i in [1,2] -%}\n  {{ i }}\n{%- endfor %}\nend",
    "{% for i in [1,2] +%}\n  {{ i }}\n  {%+ endfor %}\nend", "  {% raw %}\n  {{ x }}\n  {% endraw %}\n  y\n",
    "a\n  {% raw %}b{% endraw %}\nc", "x {%- raw %} y {% endraw -%} z", "a\u00a0{%- if true %} b{% endif %}",
    "a\u3000\n\u3000{% if true %}\n b{% endif %}", "{{ 'a\nb' }}", "{{ 'a\r\nb' | length }}", "{{\n1\n+\n2\n}}\n{{ nope() }}",
    "{% if\n true\n%}x{% endif %}", "{#\n\n#}\n{% set x = 1 %}\n\n{{ x }}", "", "\n", " ", "\n\n",
    "  {% set x = 1 %}  {% set y = 2 %}\n  z", "{% set x = 1 %}\n  {% set y = 2 %}\n  {{ x }}", "{{ 1 }}  {% if true %}\nx\n  {%- endif %}",
    "{%-if true-%} a {%-endif-%}", "{{-1-}}", "{{1-}}", "a {{-1}} b", "{{ -1 }}", "{{- -1 -}} x", "{{ 1 }}-}} x",
    "{% set a = 'x' -%}  {{ a }}", "é {%- if true %} ü {%- endif %} ñ", "{%- macro m() -%} x {%- endmacro -%} [{{ m() }}]",
]

CASES = ([("{{ " + e + " }}", V) for e in (VALUES + "\n" + FILTERS).replace("\\\ncont", "\\cont").split("\n")] +
         [(s, V) for s in STATEMENTS.split("\n")] + [(w, {}) for w in WHITESPACE])

# What Jinja2 renders and Sumi refuses by name.
UNSUPPORTED = {s for s in STATEMENTS.split("\n") if "recursive" in s or s.startswith(("{% block", "{% autoescape"))}
