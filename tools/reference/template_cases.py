"""One-line templates: (template, variables). chat_templates.py writes what Jinja2 makes of each."""

V = {"s": "Hello World", "u": "Zürich 日本🙂", "n": 7, "f": 2.5, "t": True, "none": None, "e": "",
     "l": [3, 1, 2], "d": {"b": 1, "a": 2, "items": "key", "C": 0}, "users": [
         {"name": "Ann", "age": 30, "on": True, "tags": ["x", "y"]},
         {"name": "bob", "age": 25, "on": False, "tags": []},
         {"name": "Cid", "age": 30, "on": True}],
     "m": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": None}],
     "nested": {"a": [1, {"b": [True, None, 1.5, "q'\"\n"]}], "é": "ü\u007f\u0001"}, "lines": "a\nb\r\n\nc\x0bd\u2028e"}

EXPRESSIONS = r"""
1 + 2 * 3
7 // 2
-7 // 2
7 // -2
-7 % 3
7 % -3
-7.5 // 2
-7.5 % 2
7.5 % -2
1 / 2
4 / 2
2 ** 10
2 ** -1
2 ** 3 ** 2
-2 ** 2
9223372036854775807
1 / 0
1 // 0
1 % 0
1.0 / 0
0 ** -1
1e3
1.5e-7
1e16
1e15
123456789012345680.0
0.1 + 0.2
1e22
1.0
-0.0
100.0 * 1e-5
0.00001
0.0001
1_000
0x1F
0b101
0o17
3 == 3.0
1 == True
"1" == 1
none == false
1 < 2 < 3
1 < 3 < 2
3 > 2 > 1 == 1
"a" < "b"
"a" < 1
[1, 2] < [1, 3]
(1, 2) == (1, 2)
[1] == (1,)
{"a": 1} == {"a": 1.0}
none < 1
"a" ~ 1 ~ none ~ true ~ 1.0 ~ [1]
"a" + 1
"a" * 3
3 * "ab"
[1, 2] * 2
(1,) + (2,)
[1] + [2]
[1] + (2,)
"ab" * -1
true + true
not true
not none
1 and 0
"" or "x"
none and 1
1 if t
1 if e
(1 if e) is defined
1 if e else 2
1 if t else 2 if e else 3
[1, "a", none, true, 1.5, (1,), (), {"k": [1]}]
{"a": 1, 1: "b", none: 2, (1, 2): 3}
{[1]: 2}
{}
()
(1)
1, 2
"a" in "abc"
1 in [1, 2]
3 not in [1, 2]
"b" in d
1 in "abc"
1 in 5
x
x.y
x["y"]
x()
x + 1
1 + x
"a" + x
"a" ~ x ~ "b"
x == y
x == none
x is defined
x is not defined
x in [1]
[x]
x | length
x | default("d")
x | default
none | default("d")
none | default("d", true)
e | default("d", boolean=true)
x | list
x < 1
-x
x | int
s.foo
s.foo is defined
s.foo.bar
d.a
d["a"]
d.zz
d.zz is undefined
d["items"]
d.items() | list
d.items()
d.keys()
d.values()
d.keys() | list
d.get("a")
d.get("zz")
d.get("zz", 5)
d.get("zz", default=5)
d.pop("a")
d.update({"z": 1})
d.update is defined
d.copy()
d | length
l.append(1)
l.append is defined
l.index(1)
l.index(9)
l.count(3)
l.0
l[0]
l[-1]
l[9]
l[9] is defined
l["a"]
l[1.0]
l[1:]
l[::-1]
l[:2]
l[-2:]
l[::2]
l[5:]
l[::0]
l["a":]
s[0]
s[-1]
s[20]
s[1:4]
s[::-1]
s[::3]
u[7]
u[-1]
u[7:9]
u[::-1]
u | length
u[::-2]
d[1:]
none[0]
x[1:]
5[0]
5 .real is defined
s.upper()
s.lower()
s.title()
s.capitalize()
s.swapcase()
"ß".upper()
"ΑΣ ΣΑΣ".lower()
"éa ñb".title()
"they're bill's".title()
"they're bill's" | title
"hello-world (foo) [bar] <baz>" | title
"  a b ".strip() ~ "|"
"xxaxx".strip("x")
"xyaxy".lstrip("yx")
"xyaxy".rstrip("yx")
"\u3000a\u3000".strip()
" a  b c ".split()
" a  b c ".split(" ")
"a,b,c".split(",")
"a,b,c".split(",", 1)
"a,b,c".rsplit(",", 1)
" a  b c ".split(none, 1)
" a  b c ".rsplit(none, 1)
"a b c".split(maxsplit=1)
"".split()
"".split(",")
"a".split("")
"aXbXc".split("X", 0)
lines.splitlines()
lines.splitlines(true)
"a\n".splitlines()
"".splitlines()
s.startswith("He")
s.startswith(("x", "He"))
s.startswith(["He"])
s.endswith("ld")
s.endswith(("ld", "x"))
s.startswith("ell", 1)
s.startswith("")
s.find("o")
s.rfind("o")
s.find("zz")
s.find("o", 5)
s.find("o", 5, 7)
s.index("zz")
u.find("日")
u.rfind("本")
s.count("l")
s.count("")
"aaaa".count("aa")
s.replace("l", "L")
s.replace("l", "L", 1)
"abc".replace("", "-")
"abc".replace("", "-", 2)
"日本".replace("", "-")
", ".join(["a", "b"])
", ".join([1])
"-".join("abc")
"abc".isalpha()
"ab1".isalnum()
"123".isdigit()
"²".isdigit()
"²".isdecimal()
"½".isnumeric()
"".isdigit()
"abc".islower()
"ABC1".isupper()
"Abc Def".istitle()
" \t".isspace()
"abc".isascii()
"é".isascii()
"a1_".isidentifier()
"a\n".isprintable()
"abc".removeprefix("a")
"abc".removesuffix("c")
"abc".removesuffix("x")
"a-b-c".partition("-")
"a-b-c".rpartition("-")
"abc".partition("-")
"abc".rpartition("-")
"42".zfill(5)
"-42".zfill(5)
"a".center(4) ~ "|"
"ab".center(5, "*")
"a".ljust(3, ".") ~ "|"
"a".rjust(3) ~ "|"
"日".center(4, "é")
"{} and {}".format(1, "b")
"{0}{1}{0}".format("a", "b")
"{a}-{b[0]}".format(a=1, b=[2])
"{:05d}|{:>5}|{:<5}|{:^5}|".format(42, "a", "b", "c")
"{:.2f}|{:,}|{:x}|{:e}".format(3.14159, 1234567, 255, 12345.678)
"{:+d} {: d} {:%}".format(5, 5, 0.25)
"{!r} {!s}".format("a", "b")
"{{}}{}".format(1)
"{:*^9}".format("mid")
"{:{}}|".format("a", 4)
"{}".format()
"{".format(1)
"{.upper}".format("a")
"%s is %d" % ("a", 3)
"%s" % "x"
"%5.1f|%-5s|%05d|%x|%r" % (3.14159, "a", 42, 255, "q")
"%(a)s" % {"a": 1}
"%s %s" % "x"
"%s" % (1, 2)
"100%%" % ()
"%d" % "a"
"%s" % none
"%c%c" % (65, "b")
"%+d % d %#x" % (1, 2, 255)
"%*d" % (5, 42)
"%q" % 1
"%.3s" % "日本語テ"
"%e %G" % (12345.678, 0.00001)
"%s" | format("a")
"%s-%s" | format(1, 2)
"%(x)s" | format(x=3)
s | upper
s | lower
n | upper
"hELLO wORLD" | capitalize
"  a " | trim ~ "|"
"xxax" | trim("x")
n | trim
s | replace("l", "L", 2)
n | replace(7, 8)
none | replace("N", "n")
l | join
l | join(", ")
l | join(none)
users | join(", ", attribute="name")
users | map(attribute="name") | join(",")
users | map(attribute="tags.0") | list
users | map(attribute="zz", default="?") | list
users | map(attribute="tags.0", default="?") | list
["a", "b"] | map("upper") | list
["a,b", "c"] | map("split", ",") | list
[1, 2] | map("string") | list
["a", "b"] | map("replace", "a", "z") | join
l | map() | list
users | selectattr("on") | map(attribute="name") | list
users | selectattr("age", "eq", 30) | map(attribute="name") | list
users | selectattr("age", "gt", 26) | list | length
users | rejectattr("on") | map(attribute="name") | list
users | rejectattr("tags", "defined") | map(attribute="name") | list
users | selectattr("name", "in", ["Ann", "bob"]) | list | length
users | selectattr("on") | length
users | selectattr("on") | first
(users | selectattr("on") | list)[0].name
(users | selectattr("on"))[0]
[1, 2, 3, 4] | select("even") | list
[1, 2, 3, 4] | reject("odd") | list
[1, 0, none, "a"] | select | list
[1, 5] | select(">", 2) | list
[1, 2] | select("nope") | list
[] | select("nope") | list
l | sort
l | sort(reverse=true)
["b", "A", "a", "B"] | sort
["b", "A", "a", "B"] | sort(case_sensitive=true)
[1, "a"] | sort
users | sort(attribute="age") | map(attribute="name") | list
users | sort(attribute="age,name") | map(attribute="name") | list
users | sort(attribute="age", reverse=true) | map(attribute="name") | list
d | dictsort
d | dictsort(true)
d | dictsort(by="value")
{"b": 1, "a": 3} | dictsort(false, "value", true)
{"b": 1} | dictsort(by="x")
d | sort
["a", "A", "b", 1, 1.0] | unique | list
["a", "A"] | unique(true) | list
users | unique(attribute="age") | map(attribute="name") | list
l | min
l | max
[] | max
["b", "A"] | min
users | max(attribute="age")
l | sum
users | sum(attribute="age")
[1.5, 2] | sum
[[1], [2]] | sum(start=[])
[] | sum
["a"] | sum
l | first
l | last
[] | first
[] | last
"" | first
s | first
u | last
d | first
d | last
l | reverse | list
s | reverse
u | reverse
d | reverse | list
l | length
none | length
5 | length
s | count
"abc" | list
d | list
5 | list
none | list
l | batch(2) | list
l | batch(2, 0) | list
[1,2,3,4,5,6,7] | slice(3) | list
[1,2,3,4,5,6,7] | slice(3, "x") | list
users | groupby("age") | map("first") | list
users | groupby("age") | map(attribute="grouper") | list
(users | groupby("age"))[1].list | length
users | groupby("zz", default="-") | length
-5 | abs
(-5) | abs
-2.5 | abs
"a" | abs
2.5 | round
3.5 | round
2.675 | round(2)
1234.567 | round(-2)
42.55 | round(1, "floor")
42.55 | round(1, "ceil")
7 | round
15 | round(-1)
25 | round(-1)
"a" | round
"42" | int
"42.9" | int
" 7 " | int
"x" | int
"x" | int(5)
"0x1A" | int(0, 16)
"1_000" | int
"ff" | int(base=16)
"101" | int(0, 2)
3.9 | int
-3.9 | int
none | int
true | int
"1e3" | int
"inf" | int
[] | int
"3.5" | float
"x" | float
"x" | float(1.5)
"1e400" | float
"nan" | float
3 | float
none | float
n | string ~ "!"
true | string
none | string
l | string
"a" | center(5) ~ "|"
"a\nb\n\nc" | indent
"a\nb" | indent(2, true)
"a\nb" | indent(2, first=true)
"a\n\nb" | indent(2, blank=true)
"a\nb" | indent("> ")
5 | indent
"<a href='x'>&\"" | e
"<a>" | escape | escape
"<a>" | safe
"<a>" | safe | e
("<a>" | safe) + "<b>"
"<b>" + ("<a>" | safe)
"<b>" ~ ("<a>" | safe)
("<a>" | e).upper()
("<a>" | safe).replace("a", "<")
["<a>" | safe]
5 | e
"<p>a  <b>b</b> &amp; c</p><!-- x -->" | striptags
"foo bar baz qux" | truncate(9)
"foo bar baz qux" | truncate(11)
"foo bar baz qux" | truncate(9, true)
"foo bar baz qux" | truncate(9, false, "..", 0)
"foo" | truncate(2)
"foo bar, b-z" | wordcount
"a b/c?é" | urlencode
{"a b": "c&d", "e": 1} | urlencode
[("a", 1)] | urlencode
{"class": "x", "id": none, "t": "<"} | xmlattr
d | items | list
x | items | list
5 | items | list
nested | tojson
nested | tojson(indent=2)
nested | tojson(ensure_ascii=true)
u | tojson(ensure_ascii=true)
nested | tojson(separators=(",", ":"))
d | tojson(sort_keys=true)
d | tojson(indent=0)
[] | tojson(indent=2)
{} | tojson(indent=2)
[[], {}, [1]] | tojson(indent="\t")
(1, 2) | tojson
"</script>'&" | tojson
1e100 | tojson
{1: 2, none: 3, true: 4, 1.5: 5} | tojson
{(1,): 2} | tojson
x | tojson
range(3) | tojson
d.items() | tojson
l | select | tojson
range(5)
range(1, 10, 3) | list
range(5, 0, -2) | list
range(0)
range(5)[1:3]
range(5)[-1]
range(1, 2, 0)
range(100001)
range("a")
range()
2 in range(5)
dict(a=1, b=2)
dict([("a", 1)], b=2)
dict({"x": 1})
dict([1])
namespace(a=1).a
namespace(a=1).b is defined
namespace(a=1)
namespace({"k": 2}).k
namespace(_a=1)
cycler("a", "b").next()
joiner()()
lipsum is defined
raise_exception("custom message")
raise_exception(5)
strftime_now("%Y-%m-%d %H:%M:%S %j %A %B %p %y")
strftime_now("%d %b %Y %% %f|%z|%Z|")
strftime_now("%-d %-m")
strftime_now(5)
n is number
t is number
f is float
n is integer
t is integer
t is boolean
1 is boolean
none is none
s is string
d is mapping
l is mapping
l is iterable
s is iterable
5 is iterable
d is sequence
l is sequence
s is sequence
range(3) is sequence
d.items() is sequence
d.items() is iterable
x is iterable
x is sequence
x is mapping
true is true
1 is true
false is false
0 is false
3 is odd
-3 is odd
4 is even
2.0 is even
"a" is even
9 is divisibleby 3
9 is divisibleby(4)
9 is divisibleby 0
3 is eq 3
3 is equalto 4
3 is ne 4
3 is lt 4
3 is gt 4
3 is ge 3
3 is le 2
3 is sameas 3
none is sameas none
l is sameas l
1 is in [1, 2]
1 is not in [1, 2]
"abc" is lower
"ABC" is upper
range is callable
s is callable
s.upper is callable
"upper" is filter
"nope" is filter
"even" is test
("a" | e) is escaped
s is nope
s | nope
s is defined and t is true
not x is defined
n is not none and n > 3
x is defined and x.y
3 is odd is even
loop
loop is defined
"a\tb\x41\u00e9\101\q\\"
'it''s'
"a" "b" 'c'
"\ud800"
"line\
cont"
"q'uote" | list | string
["q'uote", 'd"q', 'b\'"', "\u200b\x7f\n\t\\"]
[[1, 2], [3]] | map("sum") | list
[1,2,3] | map("string") | join("-") | upper
l | sort | first + 1
(l | sort | first) + 1
-l | length
- n | string
n + 1 | string
not n | string
1 if n > 5 and s else 2
s.split("o")[1].strip()
users[0].tags[0]
users[0]["name"][0]
users | length > 2
s[:-1][::2] | upper
m[0].content is string
m[1].content is none
m[-1]["role"] == "assistant"
m | map(attribute="role") | unique | list | length
nested.a[1].b[3]
nested["a"][1]["b"][2] * 2
{"a": {"b": 1}}.a.b
[1, 2, 3][1]
(1, 2)[0]
"abc"[1]
s.__class__
s.__class__ is defined
s.__class__.__mro__
l.__len__()
"".join(["a"] * 3)
d["a"] if "a" in d else 0
t and "yes" or "no"
d | attr("a") is defined
[1, 2] == [1.0, 2.0]
"é" == "e\u0301"
"日本" in u
"" in s
1_0 + 0_0
1.5.real
1..real
(1, 2,)
[1, 2,]
{"a": 1,}
foo(1)
s(1)
s.upper(1)
s.split(sep=",")
d.get()
[] | join | length
7 | join
"abc" | join("-")
{"x": 1}.items() | list | first | last
"a%sb" ~ 5 % 3
{% set x %}
1 +
(1
[1
1)
{"a"}
1 2
"abc
a b
1 = 2
.5
a.
a..b
a[
|upper
s |
s | upper(
not
1 if
* 2
@
$x
a ? b : c
a && b
!a
"a" is
f(a=1, 2)
f(**d, *l)
dict(a=1, a=2)
dict(**{"a": 1})
dict(**{"a": 1}, b=2)
dict(b=2, **{"a": 1})
range(*[1, 3]) | list
""".strip("\n")

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

CASES = ([("{{ " + e + " }}", V) for e in EXPRESSIONS.replace("\\\ncont", "\\cont").split("\n")] +
         [(s, V) for s in STATEMENTS.split("\n")] + [(w, {}) for w in WHITESPACE])

# What Jinja2 renders and Sumi refuses by name.
UNSUPPORTED = {s for s in STATEMENTS.split("\n") if "recursive" in s or s.startswith(("{% block", "{% autoescape"))}
