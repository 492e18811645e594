"""Expressions of template_cases.py: operators, literals, subscripts, and the methods of values."""

VALUES = r"""
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
""".strip("\n")
