"""Golden expressions: what jinja2, set up by transformers, prints for every filter, test, method and statement that a chat template could use.

usage: jinja.py GOLDEN_DIR
Writes GOLDEN_DIR/chat/jinja.json: { variables, cases: [[kind, template, rendered], …] }; rendered is null where jinja2 raises an error.
"""
import json, pathlib, re, sys
from transformers.utils.chat_template_utils import _compile_jinja_template

VARIABLES = """{"none": null, "yes": true, "no": false, "one": 1, "float": 1.0, "tiny": 1e-7, "small": 0.00001, "large": 1e16, "huge": 1E22, "negative": -0.0, "integer": 9007199254740993, "bigger": 123456789012345678901234567890,
"texts": ["a", "b'c", "D\\"e'f"], "numbers": [3, 1, 2], "floats": [1.0, 2.5, 1e20], "mixed": ["b", "A", "c", "B"], "nested": [[1, 2], [3, [4]]], "empty": [], "nothing": {},
"object": {"b": 1, "a": [null, true, 1.5], "é": "ü\\n\\u2028\\t\\\\"}, "digits": {"10": 1, "2": 2, "1": 3}, "items": {"items": 1, "get": 2, "keys": 3, "update": 4, "pop": 5},
"rows": [{"k": "b", "v": 2, "t": {"x": 1}}, {"k": "a", "v": 1, "t": {"x": 2}}, {"k": "B", "v": 2, "t": {"x": 0}}], "tree": [{"n": "a", "c": [{"n": "b", "c": []}, {"n": "c", "c": [{"n": "d", "c": []}]}]}],
"crab": "🦀x", "text": "The quick-brown fox's <b>den</b> & 'hole'", "lines": "one\\n\\n  two\\r\\nthree\\n", "spaces": "  a \\t b\\u00a0 "}"""

EXPRESSIONS = {
    "literal": """none|None|true|True|false|False|1|1_000|1.5|1e3|1.5e-7|2e16|0x1F|0b101|0o17|'a' 'b'|"it's"|'say "hi"'|'a\\nb\\t\\\\ \\x41\\u00e9 \\d \\' \\101'|[]|[1, 'a', none]|(1,)|()|(1, 2)|{}|{'a': 1, 2: 'b'}|{'a': {'b': {}}}|[1,]|{'a': 1,}""",
    "value": "none|yes|no|one|float|tiny|small|large|huge|negative|integer|bigger|texts|numbers|floats|nested|empty|nothing|object|digits|items|rows|crab|missing|object.a|[missing]|object.items()|object.keys()|object.values()",
    "operator": """1 + 2|1 - 2|2 * 3|7 / 2|6 / 2|7 // 2|-7 // 2|7 % 3|-7 % 3|7 % -3|-7.5 % 2|7.5 // 2|2 ** 10|2 ** -1|2.0 ** 2|-2 ** 2|2 ** 3 ** 2|+1|-one|--1|yes + 1|yes * 3|1 / 0|1 % 0|integer + 1|integer * integer|bigger // 3|bigger % 7|1 + 1.0|0.1 + 0.2|1e308 * 10
'a' + 'b'|'a' + 1|'ab' * 2|2 * 'ab'|'a' * -1|[0] * 3|[1] + [2]|(1,) + (2,)|[1] + (2,)|'a' ~ 1|none ~ 'x' ~ yes|1 ~ 2 + 3|1 + 2 ~ 3|missing ~ 'a'|missing + 'a'|none + 'a'|texts - 1
1 == 1.0|1 == yes|'a' == 'a'|[1, [2]] == [1, [2]]|numbers == [3, 1, 2]|(1, 2) == [1, 2]|one[1:]|texts['a':]|missing[1:]|texts[:missing]|{'a': 1} == {'a': 1.0}|none == missing|missing == missing2|none == none|1 != 2|1 < 2|1 < 2 < 3|3 > 2 > 2|1 <= 1 <= 0|'a' < 'b'|'Z' < 'a'|'2026-02-01' < '2026-11-28'|'🦀' > '\uffff'|[1, 2] < [1, 3]|[1] < [1, 0]|(1, 'a') < (1, 'b')|'a' < 1|none < 1|integer > 9007199254740992.0|1 == 1 == 1
'a' in 'abc'|'' in ''|1 in 'a'|1 in numbers|1.0 in numbers|'b' in object|'x' not in object|1 not in numbers|'a' in missing|'a' in none|2 in range(3)|'k' in rows[0]|not 'a' in 'b'|not yes|not not ''|'' or 'b'|0 or none|'a' and 'b'|'' and 'b'|missing or 'x'|1 and 0 or 2|'a' if yes|'a' if no|'a' if no else 'b'|'a' if no else 'b' if yes else 'c'|('a' if no else 'b') ~ 'c'|1 if missing else 2|1 if empty else 2|1 if nothing else 2|1 if 0.0 else 2|1 if '0' else 2|1 if (rows | selectattr('none')) else 2|1 if range(0) else 2
texts[0]|texts[-1]|texts[9]|texts[:2]|texts[1:]|texts[::-1]|texts[-2:]|texts[5:]|texts[::2]|texts[::0]|(1, 2, 3)[1:]|(1, 2, 3)[::-1]|'hello'[1]|'hello'[-1]|'hello'[1:3]|'hello'[::-1]|'hello'[:-1]|'hello'[10:]|crab[0]|crab[1]|crab[-1]|crab[1:]|crab[::-1]|range(9)[2:5] | list|range(9)[-1]|object['b']|object.b|object['x']|object.x|object.x.y|missing.x|missing['x']|none.x|none['x']|one.x|object.a.2|object.a[2]|nested.1.1.0|rows[0].t.x|texts['0']|texts.x|texts[none]|object[1:2]|one[1]|digits['10']|digits['2']|digits
items.items is callable|items['items']|items.items()|items.get('get')|items['get']|items.get('x')|items.get('x', 3)|items.keys is callable|items.update|items['update']|items.pop|object.get('b')|object.get('x') is none|object.keys() | list|object.values() | list|object.items() | list|object.copy()|digits.items() | list|'b' in object.keys()|object.keys() | length|object.items() | first
texts.count('a')|texts.index('a')|texts.index('z')|numbers.copy()|texts.append('x')|object.update({'a': 1})|object.pop('b')|object.setdefault('x', 1)|object.clear()|(1, 2, 1).count(1)|(1, 2).index(2)|''.__class__|''.__class__.__mro__|object.__class__|object.constructor|texts.constructor|texts.__proto__|object.__proto__|object['__proto__']|'a'.constructor|range.constructor|missing()|one()|'a'()|object.b()""",
    "filter": """-5 | abs|-1.5 | abs|yes | abs|'a' | abs|object | attr('b')|object | attr('items') is callable|rows | batch(2) | list|rows | map(attribute='v') | batch(2, 'x') | list|'hELLO wORLD' | capitalize|'é' | capitalize|'ab' | center(7)|'abc' | center(6)|'abc' | center|none | default('x')|missing | default('x')|'' | default('x')|'' | default('x', true)|'' | d('x', boolean=true)|missing | default|none | default('x', true)|object.x | default(1)
object | dictsort|digits | dictsort|digits | dictsort(by='value')|digits | dictsort(reverse=true)|{'b': 1, 'A': 2} | dictsort|{'b': 1, 'A': 2} | dictsort(true)|{'b': 1, 'A': 2} | dictsort(false, 'value')|text | escape|text | e|text | forceescape|none | escape|texts | first|empty | first|'ab' | first|object | first|'3.5' | float|'x' | float|'x' | float(1.5)|none | float|3 | float|' 1e3 ' | float|yes | float|'%s is %d' | format('a', 3)|'%(a)s' | format(a=1)|'%s' | format|rows | groupby('v')|rows | groupby('k')|rows | groupby('k', case_sensitive=true)|rows | groupby('z', default='-')|rows | groupby('t.x') | map(attribute='grouper') | list|rows | groupby('v') | map('last') | map('length') | list|(rows | groupby('v'))[0].list | length
lines | indent|lines | indent(2)|lines | indent(2, true)|lines | indent(2, first=true, blank=true)|lines | indent('> ')|'' | indent(first=true)|'42' | int|' -42 ' | int|'4_2' | int|'42.9' | int|'x' | int|'x' | int(7)|none | int|'0x1A' | int(base=16)|'1A' | int(0, 16)|'101' | int(base=2)|3.99 | int|-3.99 | int|yes | int|'1e3' | int|'inf' | int|1e20 | int|[] | int|object | items | list|missing | items | list|one | items | list|texts | join|texts | join(', ')|rows | join(', ', attribute='k')|rows | join('-', 'v')|numbers | join(1)|none | join|missing | join|'abc' | join('-')|object | join(',')|[none, yes, 1.0] | join(' ')|texts | last|'ab' | last|object | last|empty | last|numbers | map('string') | last|texts | length|crab | length|object | length|missing | length|none | length|one | length|numbers | map('string') | length|numbers | count|range(5) | length
'ab' | list|object | list|range(3) | list|missing | list|none | list|texts | list|'ÀB' | lower|1.5 | lower|none | lower|rows | map(attribute='k') | list|rows | map(attribute='t.x') | list|rows | map(attribute='z') | list|rows | map(attribute='z', default=0) | list|[{'a': none}] | map(attribute='a') | list|[{'a': none}, {}] | map(attribute='a', default=0) | list|rows | map(attribute='t.y', default='-') | list|[{'a': none}] | selectattr('a', 'none') | list|nested | map(attribute=0) | list|nested | map('first') | list|texts | map('upper') | join(',')|rows | map('tojson') | join(';')|numbers | map('round', 1) | list|texts | map('replace', 'a', 'z') | list|texts | map('center', width=5) | list|texts | map('nosuch') | list|texts | map | list|numbers | max|numbers | min|mixed | max|mixed | min|mixed | max(case_sensitive=true)|rows | max(attribute='v')|rows | min(attribute='t.x')|empty | max|[1, 'a'] | max
numbers | reject('odd') | list|[0, 1, none] | reject | list|rows | rejectattr('v') | list | length|rows | rejectattr('v', 'eq', 2) | list|rows | rejectattr('z', 'defined') | list | length|'aaa' | replace('a', 'b')|'aaa' | replace('a', 'b', 2)|'abc' | replace('', '-')|'abc' | replace('', '-', 2)|1.5 | replace('.', ',')|'aaa' | replace('a', 1)|'abc' | reverse|numbers | reverse | list|crab | reverse|(1, 2) | reverse | list|range(3) | reverse | list|one | reverse|2.567 | round(2)|2.5 | round|3.5 | round|-2.5 | round|2.675 | round(2)|0.5 | round|1.25 | round(1)|1.35 | round(1)|42 | round|42 | round(1)|1234 | round(-2)|1250 | round(-2)|1234.5 | round(-2)|2.1 | round(0, 'ceil')|2.9 | round(method='floor')|2.123 | round(2, 'ceil')|42 | round(1, 'floor')|'a' | round|1e300 | round(2)|0.1 | round(20)|text | safe|none | safe
[0, 1, none, 'a'] | select | list|numbers | select('odd') | list|numbers | select('gt', 1) | list|numbers | select('in', [1, 2]) | list|numbers | select('divisibleby', 2) | list|[1, none, missing] | select('defined') | list|texts | select('nosuch') | list|[[], [1]] | select('eq', []) | list|rows | selectattr('v', 'gt', 1) | map(attribute='k') | join|rows | selectattr('k', '==', 'a') | list | length|rows | selectattr('k', 'equalto', 'a') | list|rows | selectattr('t.x') | list | length|rows | selectattr('z') | list|rows | selectattr('z', 'undefined') | list | length|rows | selectattr | list|rows | selectattr('k', 'in', ['a', 'b']) | map(attribute='k') | list|numbers | slice(2) | list|range(7) | slice(3) | list|range(7) | slice(3, 'x') | list|numbers | sort|mixed | sort|mixed | sort(case_sensitive=true)|mixed | sort(reverse=true)|mixed | sort(true, true)|rows | sort(attribute='v') | map(attribute='k') | list|rows | sort(attribute='v,k') | map(attribute='k') | list|rows | sort(attribute='t.x', reverse=true) | map(attribute='k') | list|object | sort|'cab' | sort|[1, 'a'] | sort|[[2, 'a'], [1, 'b'], [1, 'a']] | sort
1 | string|none | string|yes | string|texts | string|object | string|1.0 | string|missing | string|text | striptags|'a <!-- x --> b  <br/>c&amp;&lt;&#39;&#x41;' | striptags|numbers | sum|floats | sum|empty | sum|rows | sum(attribute='v')|rows | sum('t.x', 10)|numbers | sum(start=1.5)|nested | sum(start=[])|texts | sum|'hello wORLD-foo (bar) it\\'s' | title|'aXb' | title|'ÉTÉ' | title|'  a ' | trim|'--a-' | trim('-')|'xyaxy' | trim('xy')|1 | trim
none | tojson|yes | tojson|1 | tojson|1.0 | tojson|tiny | tojson|large | tojson|huge | tojson|negative | tojson|integer | tojson|bigger | tojson|texts | tojson|object | tojson|digits | tojson|items | tojson|rows | tojson|nested | tojson|empty | tojson|nothing | tojson|(1, 2) | tojson|{1: 2, none: 3, yes: 4, 1.5: 5} | tojson|missing | tojson|[missing] | tojson|'<é🦀\\x7f\\x01&"/' | tojson|text | tojson|object | tojson(indent=2)|nested | tojson(indent=1)|[] | tojson(indent=2)|[[], {}] | tojson(indent=2)|rows[0] | tojson(indent=4)|object | tojson(ensure_ascii=true)|crab | tojson(true)|object | tojson(separators=(',', ':'))|object | tojson(separators=(',', ':'), indent=1)|digits | tojson(sort_keys=true)|object | tojson(sort_keys=true, indent=2)|object | tojson(indent='\\t')|range(3) | tojson|object.keys() | tojson|numbers | map('string') | tojson|rows | groupby('v') | tojson
text | truncate(20)|text | truncate(20, true)|text | truncate(20, end='…')|text | truncate(20, false, '...', 0)|text | truncate|'foo bar baz qux' | truncate(9)|'foo bar baz qux' | truncate(11)|'foo bar baz qux' | truncate(11, leeway=0)|'foo bar baz qux' | truncate(9, true, leeway=0)|mixed | unique | list|mixed | unique(case_sensitive=true) | list|[1, 1.0, yes, 2] | unique | list|rows | unique(attribute='v') | map(attribute='k') | list|'abca' | unique | list|'àb' | upper|1.5 | upper|'a b/c?d=é&f' | urlencode|{'a b': 'c/d', 'e': 1} | urlencode|[['a', 1], ['b', none]] | urlencode|1.5 | urlencode|'~!*()\\'' | urlencode|text | wordcount|'a-b c_d é2' | wordcount|texts | nosuch|texts | join(nosuch=1)|texts | first(1)|'a' | replace('a')|none | upper|none | trim|none | title|none | capitalize|none | length""",
    "test": """yes is boolean|1 is boolean|range is callable|'a'.upper is callable|1 is callable|one is defined|missing is defined|object.x is defined|none is defined|6 is divisibleby(3)|7 is divisibleby 3|6 is divisibleby(0)|1 is eq 1|1 is eq(1.0)|1 is equalto 2|'a' is ==('a')|'a' is escaped|2 is even|3 is even|2.0 is even|'a' is even|3 is odd|no is false|0 is false|'upper' is filter|'nosuch' is filter|'map' is filter|1.5 is float|1 is float|2 is ge 2|3 is gt 2|3 is greaterthan(3)|1 is in [1]|'a' is in 'abc'|1 is in numbers|1 is integer|yes is integer|1.0 is integer|'a' is iterable|1 is iterable|none is iterable|missing is iterable|object is iterable|range(1) is iterable|object.items() is iterable|2 is le 1|1 is lt 2|1 is lessthan 1|'ab' is lower|'aB' is lower|'1' is lower|object is mapping|texts is mapping|1 is ne 1|none is none|missing is none|1 is number|yes is number|1.5 is number|'1' is number|none is not none|1 is not string|one is sameas 1|none is sameas(none)|yes is sameas 1|'a' is sequence|texts is sequence|object is sequence|1 is sequence|none is sequence|missing is sequence|range(2) is sequence|object.items() is sequence|(numbers | map('string')) is sequence|(numbers | map('string')) is iterable|'a' is string|none is string|'even' is test|'nosuch' is test|'==' is test|yes is true|1 is true|missing is undefined|none is undefined|'AB' is upper|'A1' is upper|'1' is upper|1 is nosuch|not 1 is string|1 is string or yes|object.a is sequence and object.a is not mapping|missing is not defined|1 is defined is true""",
    "method": """'aBC dEF'.capitalize()|'ab'.center(7, '*')|'abc'.center(6)|'banana'.count('an')|'aaa'.count('aa')|'abc'.count('')|'banana'.count('a', 2)|'abc'.endswith('bc')|'abc'.endswith(('x', 'c'))|'abc'.endswith('b', 0, 2)|'abcabc'.find('c')|'abcabc'.find('c', 3)|'abc'.find('z')|'🦀abc'.find('c')|'{}-{}'.format('a', 3)|'{0}{1}{0}'.format('a', 'b')|'{a}{b}'.format(a=1, b=none)|'{:05d} {:+d} {:,}'.format(42, 7, 1234567)|'{:.2f} {:8.3f} {:e} {:g} {:%}'.format(3.14159, 2.5, 12345.678, 0.0001, 0.25)|'{:x} {:#x} {:b} {:o} {:X}'.format(255, 255, 5, 8, 255)|'{0[a]} {0[b]}'.format({'a': 1, 'b': 2})|'{0[1]}'.format(texts)|'{{}} {!r}'.format('a')|'{:*^9}'.format('ab')|'{}'.format()|'{x}'.format()|'{} {}'.format(1.0, true)|'{:.3}'.format('abcdef')|'{:d}'.format('a')|'{:_}'.format(1234567)|'{:g} {:g} {:g}'.format(1e10, 100000, 1234567)|'{:>8.2f}'.format(1.005)|'{:.0f} {:.0f} {:.1f}'.format(0.5, 1.5, 0.25)|'abc'.index('c')|'abc'.index('z')|'ab1'.isalnum()|'ab '.isalnum()|'abé'.isalpha()|''.isalpha()|'12'.isdecimal()|'²'.isdecimal()|'²'.isdigit()|'12'.isdigit()|'1.2'.isdigit()|'½'.isnumeric()|'ab'.islower()|'aB'.islower()|' '.isspace()|''.isspace()|'AB'.isupper()|'A1'.isupper()|','.join(texts)|'-'.join('abc')|','.join(numbers)|','.join(object)|'ab'.ljust(4, '.')|'ab'.rjust(4, '.')|'AbÉ'.lower()|'xxaxx'.lstrip('x')|'xxaxx'.rstrip('x')|'xyaxy'.strip('yx')|'a-b-c'.partition('-')|'abc'.partition('-')|'a-b-c'.rpartition('-')|'abc'.rpartition('-')|'foobar'.removeprefix('foo')|'foobar'.removeprefix('x')|'foobar'.removesuffix('bar')|'foobar'.removesuffix('')|'aaa'.replace('a', 'b')|'aaa'.replace('a', 'b', 1)|'abc'.replace('', '.')|'a'.replace('a', 1)|'abcabc'.rfind('c')|'abcabc'.rindex('b')|'a,b,,c'.split(',')|'a,b,c'.split(',', 1)|' a  b c '.split()|' a  b c '.split(none, 1)|''.split()|''.split(',')|'a'.split('')|'abc'.split(sep='b')|'a,b,c'.split(',', maxsplit=0)|'a.b.c'.rsplit('.', 1)|' a  b c '.rsplit(none, 1)|' a  b c '.rsplit(maxsplit=9)|'a.b.c'.rsplit('.')|lines.splitlines()|lines.splitlines(true)|'a\\n'.splitlines()|''.splitlines()|'\\n\\n'.splitlines()|'a\\x0bb\\u2028c\\rd'.splitlines()|'abc'.startswith('ab')|'abc'.startswith(('x', 'a'))|'abc'.startswith('b', 1)|'abc'.startswith(1)|"they're bill's".title()|'hELLO wORLD2go'.title()|'ß'.upper()|'42'.zfill(5)|'-42'.zfill(5)|'+4'.zfill(4)|'abc'.zfill(2)|'a'.nosuch()|'a'.upper(1)|'%s' % 'a'|'%d%%' % 5|'%s %s' % (1, none)|'%(k)s' % rows[0]|'%.3f' % 2|'%x %o %e %g' % (255, 8, 1.5, 1e-5)|'%s' % (1, 2)|'%s %s' % 1|'%d' % 'a'|'%r' % 'a'|'%i' % 3.9|'%s' % numbers""",
    "function": "range(3) | list|range(2, 5) | list|range(5, 0, -2) | list|range(0) | list|range(1, 2, 0)|range(1.5)|range(200000)|dict(a=1, b=2)|dict({'a': 1}, b=2)|dict([('a', 1)])|dict()|dict(a=1).a|namespace(a=1).a|namespace({'a': 1}).a|namespace().b|raise_exception('no')|strftime_now('%Y') | length|strftime_now('%d %b %Y') | length|joiner(',')()|cycler('a', 'b').next()|cycler('a', 'b').current",
}
# cases that hold the separator themselves
MORE = [("filter", "{{ '%05.2f|%x|%-4s|%4s|%r|%%' | format(3.14159, 255, 'a', 'b', 'c') }}"), ("filter", "{{ spaces | trim ~ '|') }}"), ("method", "{{ '{:>5}{:<5}{:^5}|'.format('a', 'b', 'c') }}"),
        ("method", "{{ '%5d|%-5d|%05d|%+d' % (1, 2, 3, 4) }}"), ("method", "{{ spaces.strip() ~ '|' ~ spaces.lstrip() ~ '|' ~ spaces.rstrip() ~ '|' }}"), ("method", "{{ '%5s|%-5s|' % ('a', 'b') }}"), ("method", "{{ '{:{}}|'.format('a', 4) }}")]
STATEMENTS = r"""
{% if yes %}a{% endif %}b
{% if no %}a{% elif one %}b{% else %}c{% endif %}
{% if no %}a{% elif none %}b{% else %}c{% endif %}
{% if missing %}a{% else %}b{% endif %}
{% for x in numbers %}{{ x }},{% endfor %}
{% for x in numbers %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }};{% endfor %}
{% for x in numbers %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }};{% endfor %}
{% for x in numbers %}{{ loop.depth }}{{ loop.depth0 }}{{ loop.nosuch }}{% endfor %}
{% for x in texts %}{{ loop.cycle('u', 'a') }}{% endfor %}
{% for x in [1, 1, 2, 2, 1] %}{{ loop.changed(x) }}{% endfor %}
{% for x in empty %}{{ x }}{% else %}none{% endfor %}
{% for x in missing %}{{ x }}{% else %}none{% endfor %}
{% for x in none %}{{ x }}{% endfor %}
{% for x in one %}{{ x }}{% endfor %}
{% for c in 'a🦀c' %}{{ c }}.{% endfor %}
{% for k in object %}{{ k }}{% endfor %}
{% for k, v in object.items() %}{{ k }}={{ v }};{% endfor %}
{% for k, v in digits | items %}{{ k }}={{ v }};{% endfor %}
{% for k, v in digits | dictsort %}{{ k }}={{ v }};{% endfor %}
{% for (a, b) in [[1, 2], 'xy'] %}{{ a }}{{ b }}{% endfor %}
{% for a, (b, c) in [[1, [2, 3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for a, b in [[1]] %}{{ a }}{% endfor %}
{% for x in numbers if x > 1 %}{{ loop.index }}:{{ x }}/{{ loop.length }};{% endfor %}
{% for x in numbers if x > 9 %}{{ x }}{% else %}none{% endfor %}
{% for x in numbers if loop.first %}{{ x }}{% endfor %}
{% for x in 1, 2 %}{{ x }}{% endfor %}
{% for x in (numbers if yes else []) %}{{ x }}{% endfor %}
{% for x in range(3) %}{% for y in range(2) %}{{ loop.index }}{{ x }}{{ y }} {% endfor %}{{ loop.index }};{% endfor %}
{% for x in [3, 1, 2, 9] %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% if x == 2 %}{% break %}{% endif %}{% endfor %}
{% for x in [1, 2] %}a{% break %}b{% else %}c{% endfor %}d
{% for x in [1, 2] %}a{% continue %}b{% else %}c{% endfor %}d
{% for x in [1, 2] %}{% for y in [1, 2] %}{{ y }}{% break %}{% endfor %}{{ x }}{% continue %}z{% endfor %}
{% for n in tree recursive %}{{ n.n }}{{ loop.depth }}{% if n.c %}[{{ loop(n.c) }}]{% endif %}{% endfor %}
{% for x in numbers %}{% set y = x %}{% endfor %}{{ y }}
{% set y = 1 %}{% for x in numbers %}{{ y }}{% set y = x %}{% endfor %}{{ y }}
{% set y = 1 %}{% if yes %}{% set y = 2 %}{% endif %}{{ y }}
{% for x in numbers %}{% endfor %}{{ x }}{{ loop }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}
{% set a = 1, 2 %}{{ a }}
{% set (a, b) = 'xy' %}{{ b }}
{% set ns = namespace(n=0) %}{% for x in numbers %}{% set ns.n = ns.n + x %}{% endfor %}{{ ns.n }}
{% set ns = namespace() %}{% set ns.a = 1 %}{{ ns.a }}{{ ns['a'] }}{{ ns.b is defined }}
{% set object.a = 1 %}
{% set x %}a{{ one }}b{% endset %}{{ x }}{{ x | length }}
{% set x | upper | trim %} a{{ one }}b {% endset %}[{{ x }}]
{% set x %}{% for i in numbers %}{{ i }}{% endfor %}{% endset %}{{ x }}
{% set messages = [1, 2, 3] %}{% set messages = messages[1:] %}{{ messages }}
{% macro f(a, b=2) %}{{ a }}-{{ b }};{% endmacro %}{{ f(1) }}{{ f(1, 3) }}{{ f(b=4, a=5) }}{{ f() }}
{% macro f(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}
{% macro f() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, x=3) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, x=2) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, a=2) }}
{% macro f(a) %}{{ a is defined }}{% endmacro %}{{ f() }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(*[1]) }}{{ f(**{'a': 2}) }}
{% set x = 1 %}{% macro f() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ f() }}
{% macro f(n) %}{{ n }}{% if n %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}
{% macro f() %}{% for x in numbers %}{{ g(x) }}{% endfor %}{% endmacro %}{% macro g(x) %}<{{ x }}>{% endmacro %}{{ f() }}
{% macro f() %} a {% endmacro %}[{{ f() | trim }}][{{ f() + 'b' }}]{{ f() is string }}
{% macro f(x) %}({{ caller(x) }}){% endmacro %}{% call(y) f(1) %}y={{ y }}{% endcall %}
{% macro f() %}({{ caller() }}){% endmacro %}{% call f() %}a{{ one }}{% endcall %}
{% macro f() %}x{% endmacro %}{% call f() %}a{% endcall %}
{% macro f(x) %}{% if caller %}{{ caller() }}{% else %}none{% endif %}{% endmacro %}{{ f(1) }}{% call f(1) %}a{% endcall %}
{% filter upper %}a{{ one }}b{% endfilter %}
{% filter replace('a', 'b') | trim %} a{{ texts[0] }} {% endfilter %}
{% with %}{% set z = 1 %}{{ z }}{% endwith %}{{ z }}
{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% set a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% raw %}{{ x }}{% if %}{# c #}{% endraw %}
a {%- raw %} b {% endraw -%} c
a {% raw -%} b {%- endraw %} c
{% block x %}a{{ one }}{% endblock %}
{% block x %}a{% endblock x %}b
{% generation %}a{{ one }}{% set q = 1 %}{% endgeneration %}{{ q }}
{% for x in numbers %}{%- generation -%} {{ x }}{{ loop.last }} {%- endgeneration -%}{% endfor %}
a{# comment #}b{#- c -#} d
a {#- c #} b {# c -#} c
{{ 1 }}{{- 2 }} {{ 3 -}} {{ 4 }}
  {% if yes %}\n    a\n  {% endif %}\n  b\n
a\n  {%+ if yes %}\nb{% endif %}
{% if yes +%}\nb{% endif %}\nc
a\n\n{%- if yes -%}\n\n b \n\n{%- endif -%}\n\nc
a\n  {# c #}\n  b {# d #}\nc
a\n  {#+ c +#}\nb
  {{ one }}\n  {{ one }}\n
\n{{ one }}\n\n
x {% if yes %} \n y {% endif %} z
{% for x in numbers %}\n  {{ x }}\n{% endfor %}\nend
{%- for x in numbers -%}\n  {{ x }}\n{%- endfor -%}\nend
{% for x in numbers -%}\n  {{ x }}\n{%- endfor %}\nend
a\r\nb{% if yes %}\r\nc{% endif %}\r\n
a\rb\r
\t{% if yes %}\t\n\ta{% endif %}
{% set x = 1 %}   {% set y = 2 %}\n{{ x }}{{ y }}
{{ {'a': {'b': 1}} }}{{ {'a': {'b': 1}}.a.b}}
{{ '}}' }}{{ "%}" }}{% if '%}' %}a{% endif %}
{{ 1, 2 }}{{ (1) }}{{ 1, }}
{{ [1,2,3] | select('odd') | map('string') | join('+') }}
{% set x = joiner(', ') %}{% for i in numbers %}{{ x() }}{{ i }}{% endfor %}
{% set c = cycler('a', 'b') %}{% for i in numbers %}{{ c.next() }}{% endfor %}{{ c.current }}{{ c.reset() }}{{ c.next() }}
{% set g = numbers | map('string') %}{{ g | first }}{{ g | list }}{{ g | list }}
{% set g = numbers | select %}{% for x in g %}{{ x }}{{ loop.length }}{% endfor %}{{ g | list }}
{% for g in rows | groupby('v') %}{{ g.grouper }}:{{ g.list | map(attribute='k') | join }}{{ g[0] }};{% endfor %}
{% for v, l in rows | groupby('v') %}{{ v }}{{ l | length }}{% endfor %}
{% for row in numbers | batch(2, 0) %}{{ row }}{% endfor %}
{% for x in numbers | reverse %}{{ x }}{% endfor %}{% for x in numbers | sort(reverse=true) %}{{ x }}{% endfor %}
{% set l = [] %}{% set l = l + [1] %}{{ l }}
{% set _ = numbers.append(1) %}{{ numbers }}
{{ none.a }}{{ one.a.b }}
{% endif %}
{% if yes %}
{% nosuch %}
{{ 1 + }}
{{ (1 }}
{% for x %}{% endfor %}
{{ 'a }}
{# open
{% raw %}open
{% if yes %}{% else %}{% else %}{% endif %}
{% do 1 %}
{% set true = 1 %}
{% set 1 = 1 %}
{{ a b }}
{{ 1 is }}
{{ 1 | }}
{{ }}
{{ a. }}
{{ [1 }}
{% if yes %}a{% endfor %}
{% macro f(1) %}{% endmacro %}
"""


def main():
    target = pathlib.Path(sys.argv[1]) / "chat/jinja.json"
    templates = [(kind, "{{ " + one + " }}") for kind, all in EXPRESSIONS.items() for one in re.split(r"\n|(?<! )\|(?! )", all)] + MORE
    templates += [("statement", line.replace("\\n", "\n").replace("\\r", "\r").replace("\\t", "\t")) for line in STATEMENTS.strip("\n").split("\n")]
    cases = []
    for kind, template in dict.fromkeys(templates):
        try: rendered = _compile_jinja_template(template).render(**json.loads(VARIABLES))
        except Exception: rendered = None
        cases.append([kind, template, rendered])
    target.write_text('{"variables":' + VARIABLES.replace("\n", "") + ',"cases":[\n' + ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases) + "\n]}\n", encoding="utf-8")
    print(f"{len(cases)} cases, {sum(case[2] is None for case in cases)} of them refused")


main()
