"""Finding code in a model's text."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mar.runtime.code import extract_code, parses, same_code

ADD = "def add(a, b):\n    return a + b"


@pytest.mark.parametrize(
    "text",
    [
        f"```python\n{ADD}\n```",
        f"Here it is:\n\n```py\n{ADD}\n```\nDone.",
        f"```\n{ADD}\n```",
        f"~~~python\n{ADD}\n~~~",
        f"````python\n{ADD}\n````",
        f"```Python title=add.py\n{ADD}\n```",
        f"```python\n{ADD}",  # cut off before the fence was closed
        f"```python\r\n{ADD}\r\n```\r\nDone.".replace("\n    ", "\r\n    "),
        f"  ```python\n{ADD}\n  ```",
        "1. First:\n\n   ```python\n   def add(a, b):\n       return a + b\n   ```\n2. Then rest.",
        f"  {ADD}  \n",
    ],
    ids=["fence", "prose", "bare", "tilde", "four", "title", "unclosed", "crlf", "flush", "list-item", "no-fence"],
)
def test_code_is_found_whole_and_without_its_fence(text):
    assert extract_code(text) == ADD


ADDED = "--- /dev/null\n+++ b/f.py\n@@ -0,0 +1,3 @@\n+def f(x):\n+\n+    return x + 1\n"
CHANGED = "@@ -1,4 +1,4 @@\n import math\n \n def f(x):\n-    return x\n+    return x + 1\n"


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"code": "def f(x):\n    return x + 1\n", "explanation": "It adds one."}),
        json.dumps({"language": "python", "solution": "```python\ndef f(x):\n    return x + 1\n```"}, indent=2),
        "Here:\n```json\n" + json.dumps({"code": "def f(x):\n    return x + 1"}) + "\n```\nDone.",
        '{"code": "def f(x):\n    return x + 1\n"}',  # with line breaks as they are
        "```python\ndef f(x):\n    return x + 1\n```\nFor 2:\n```json\n" + json.dumps({"answer": 3}) + "\n```",
        f"```diff\n{ADDED}```",
        ADDED,
        f"I change it:\n```diff\n{CHANGED}```",
        "```python\ndef f(x):\n    return x + 1\n```\nBefore:\n```diff\n-    return x\n+    return x + 1\n```",
    ],
)
def test_a_program_in_json_or_in_a_diff_is_read_as_what_it_is_there(text):
    program: dict[str, Any] = {}
    exec(extract_code(text, names=("f",)), program)
    assert program["f"](1) == 2


def test_a_diff_that_shows_no_whole_function_is_not_applied():
    part = "```diff\n@@ -2 +2 @@\n-    return x\n+    return x + 1\n```"
    assert extract_code(part, names=("f",)) is None
    draft = "def f(x):\n    return x"
    assert extract_code(f"```python\n{draft}\n```\nThen:\n{part}", names=("f",)) == draft


def test_a_body_in_json_completes_the_prompt():
    body = json.dumps({"code": "    return x + 1"})
    prompt = 'def f(x):\n    """Adds one."""\n'
    assert extract_code(body, names=("f",), prompt=prompt) == f"{prompt}    return x + 1\n"


def test_no_leading_letters_are_eaten():
    assert extract_code("```python\npython_version = 3\n```") == "python_version = 3"
    assert extract_code("```\nnot_a_language = 1\n```") == "not_a_language = 1"


def test_the_last_block_that_parses_is_taken():
    assert extract_code("```python\nx = 1\n```\n```python\ny = 2\n```\n```python\ny = = 3\n```") == "y = 2"
    assert extract_code("```python\nx = = 1\n```\n```python\ny = = 2\n```") == "y = = 2"  # none does


def test_blocks_of_other_languages_and_empty_ones_are_left_out():
    assert extract_code("```python\nx = 1\n```\n```text\n42\n```\n```json\n{}\n```\n```python\n\n```") == "x = 1"
    assert extract_code("```bash\nls\n```") is None


@pytest.mark.parametrize("text", ["", "   ", "42", "So x = 1.", "import the goods", "```python\n```"])
def test_prose_is_no_code(text):
    assert extract_code(text) is None


@pytest.mark.parametrize("start", ["async def f():\n    pass", "from math import pi", "class A: pass", "import os"])
def test_a_bare_program_needs_no_fence(start):
    assert extract_code(start) == start


CLOSE = "def near(a, b):\n    return abs(a - b) < 1"
USES = "def count(xs):\n    return sum(near(x, 0) for x in xs)"
HEAD = 'import math\n\ndef root(n):\n    """Root of n."""\n'


def value(code: str | None, call: str):
    """What a call says once the program is loaded (all programs here are this file's own)."""
    space: dict[str, object] = {}
    exec(code or "", space)
    return eval(call, space)


@pytest.mark.parametrize(
    "text",
    [
        f"```python\n{CLOSE}\n```\nthen\n```python\n{USES}\n```",
        f"```python\n{USES}\n```\nwith the helper\n```python\n{CLOSE}\n```",
        f"```python\n{CLOSE}\n{USES}\n```\n```python\nxs = [5]\nassert count(xs) == 7, '!'\nraise SystemExit\n```",
        f"```python\ndef count(xs):\n    return 0\n```\nBetter:\n```python\n{CLOSE}\n{USES}\n```",
        f"```python\n{CLOSE}\n{USES}\n```\nwhich fills in\n```python\ndef count(xs):\n    pass\n```",
        f"```python\ndef near(a, b):\n    return 1\n{USES}\n```\nFixed:\n```python\n{CLOSE}\n```",
        f"```\n{CLOSE}\n```\n```javascript\nfunction near() {{}}\n```\n```text\n{USES}\n```",
        f"Sure, see below.\n\n{CLOSE}\n\nand then, as asked:\n\n{USES}\n\nNote: it is linear.\nDone (I think).",
        f"{CLOSE}\n{USES}\n```\n\nThat closes the fence that the prompt had opened.",
        f"```python\n{CLOSE}\n{USES}```\nclosed on the last line",
        f"1. ~~~python\n   {CLOSE}\n\n   {USES}\n   ~~~".replace("\n    ", "\n       "),
        f"[PYTHON]\n{CLOSE}\n{USES}\n[/PYTHON]",
        f"[BEGIN]\n{CLOSE}\n{USES}\n[DONE]",
        f"```python\n{CLOSE}\n{USES}\n<|im_end|>",
        f"```python\n{CLOSE}\n{USES}\n```".replace("\n    return", "\n\u00a0\u00a0\u00a0\u00a0return"),
        f"```\n>>> def near(a, b):\n...     return abs(a - b) < 1\n...\n>>> near(1, 1)\nTrue\n```\n```\n{USES}\n```",
        f"> ```python\n> {CLOSE}\n> {USES}\n> ```".replace("\n    ", "\n>     "),
        f"class Answer:\n    def count(self, xs):\n        return {USES.partition('return ')[2]}\n\n{CLOSE}",
    ],
)  # fmt: skip
def test_what_defines_the_answer_is_put_together_and_the_rest_left_out(text):
    assert value(extract_code(text, names=("count",)), "count([0, 0.5, 3])") == 2


def test_every_definition_counts_where_no_name_is_known():
    assert value(extract_code(f"```\n{USES}\n```\n```\n{CLOSE}\n```"), "count([0, 0.5, 3])") == 2


def test_a_fence_inside_a_docstring_belongs_to_the_program():
    code = 'def f(x):\n    """Like:\n    ```python\n    f(1)\n    ```\n    """\n    return x'
    assert extract_code(f"```python\n{code}\n```\nDone.") == code


def test_what_stands_in_the_chosen_block_stays_with_its_tests():
    code = f"{ADD}\nassert add(1, 1) == 3"
    assert extract_code(f"```python\n{code}\n```", names=("add",)) == code


@pytest.mark.parametrize(
    "body",
    [
        "    m = math.isqrt(n)\n    return m",
        "m = math.isqrt(n)\n    return m",
        "m = math.isqrt(n)\nreturn m",
        "```python\n     m = math.isqrt(n)\n     return m\n```",
        "```\n\tif n < 0:\n\t\treturn 0\n\treturn math.isqrt(n)\n```",
        "if n < 0:\n        return 0\n    return math.isqrt(n)\n\nThat is all.",
        "The body is:\n\n    m = math.isqrt(n)\n    return m\n\nand nothing else.",
    ],
)
def test_a_body_completes_the_prompt_however_it_is_indented(body):
    code = extract_code(body, names=("root",), prompt=HEAD)
    assert value(code, "root(16)") == 4
    assert value(code, "root.__doc__") == "Root of n."


def test_a_program_of_its_own_is_no_body():
    other = "def other(n):\n    return n"
    assert extract_code(other, names=("root",), prompt=HEAD) == other


@pytest.mark.parametrize(
    "text",
    [
        "`" * 100_000,
        "`" * 99_999 + "!",
        "```x\n" * 25_000,
        "``` " * 25_000,
        "(\n" * 100_000,
        "x = (\n" * 40_000,
        "def f(:\n" * 30_000,
        '"""\n```\n' * 20_000,
        "    " * 60_000,
        ">" * 100_000,
        "[PYTHON]\n" * 20_000,
        "```python\ndef f(): return 1\n```\n" * 6_000,
    ],
)
def test_long_texts_take_time_in_proportion(text):
    began = time.process_time()
    extract_code(text, names=("f",), prompt=HEAD)
    assert time.process_time() - began < 3  # a fence expression that backtracks needs eleven seconds and more


@pytest.mark.parametrize("inner", ["\0", "\ud800", "(" * 3000, "-" * 30_000 + "1", "x" + ".a" * 30_000, "9" * 5000])
def test_what_python_cannot_read_is_no_exception(inner):
    for text in (inner, f"```python\n{inner}\n```", f"```python\ndef f():\n    return {inner}\n```"):
        extract_code(text, names=("f",), prompt=HEAD)


@given(st.text())
def test_any_text_has_code_or_none(text):
    code = extract_code(text)
    assert code is None or code.strip()


def test_a_text_parses_when_it_is_a_program_with_a_statement():
    assert parses(ADD)
    assert not any(map(parses, ["", "# only a comment", "def", "x = '\x00'", "(" * 5000, "-" * 100_000 + "1"]))


def test_programs_are_the_same_up_to_formatting_and_comments():
    assert same_code(ADD, "def add(a,b):  # adds\n\n  return (a+b)\n")
    assert not same_code(ADD, ADD.replace("+", "-"))
    assert same_code("x = = 1", "  x = = 1\n")
    assert not same_code("x = = 1", "x = = 2")


@pytest.mark.filterwarnings("error")
def test_dubious_code_warns_nobody():
    assert same_code("x = '\\d'", "x =  '\\d'")
    assert parses("x = 1 is 1")


@pytest.mark.parametrize(
    "text",
    [
        f"{ADD}\n[DONE]",
        f"{ADD}\n[DONE]\nNext task: write sub.\n[BEGIN]\ndef sub(a, b):\n    return a - b\n[DONE]",
        f"{ADD}<|endoftext|>\nQuestion: something else\ndef other():\n    return 1",
        f"python\n{ADD}",
        f"```\npython\n{ADD}\n```",
        f'<pre><code class="language-python">{ADD}</code></pre>',
        f"```python\n{ADD}\n```\n```python\ndef test_add():\n    assert add(1, 2) == 3\n```",
        f"```python\n{ADD}\n```\n```python\nimport unittest\nfrom solution import add\n"
        "class AddTest(unittest.TestCase):\n    def test(self):\n        self.assertEqual(add(1, 2), 3)\n"
        "unittest.main()\n```",
    ],
)
def test_what_comes_after_the_answer_and_around_it_is_left_out(text):
    code = extract_code(text)
    assert code is not None
    assert same_code(code, ADD)


def test_a_mark_of_the_end_within_a_program_ends_nothing():
    code = "def strip(text):\n    return text.removesuffix('<|endoftext|>')"
    assert extract_code(code) == code


def test_a_body_may_bring_the_helpers_it_calls_after_it():
    body = "    return plus(a, b)\n\n\ndef plus(a, b):\n    return a + b"
    assert extract_code(body, names=("add",), prompt='def add(a, b):\n    """Add."""\n') == (
        f'def add(a, b):\n    """Add."""\n{body}\n'
    )
