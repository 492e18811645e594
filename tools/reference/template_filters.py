"""Expressions of template_cases.py: filters, functions, tests, mixtures of them, and what is no expression."""

FILTERS = r"""
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
