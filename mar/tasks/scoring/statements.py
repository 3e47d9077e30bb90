"""Where a text states its answer: after "the answer is", "Answer:" and the like, in several languages.

In debates a text quotes the answers of others, weighs answers that are wrong, and corrects itself. So what is found
here is a list, and a statement that the text itself disowns is none: a negated one ("the wrong answer is B"), a
supposed one ("if the answer is A"), one that belongs to somebody else ("Agent 2 says that the answer is B", a line
after ">") and one that is taken back ("The answer is A. Wait, that is wrong."). Which of the others counts is the
reader's to say: the last.

A model that continues a few-shot prompt goes on with questions of its own, or sums up the answers to all that it has
seen. Once the first question is answered, neither is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MAX_STATEMENTS = 60  # statements looked at, from the end
LEAD = 110  # characters before a statement that may disown it
TAIL = 100  # characters after a statement that may take it back

_NOUNS = (
    *("answer", "respuesta", "réponse", "antwort", "resposta", "risposta", "ответ", "đáp án", "jawaban", "cevap"),
    *("答案", "答え", "正解", "정답"),
)
_BOXES = (r"\boxed", r"\fbox", r"\framebox")
_MODAL = r"(?:would|must|should|has to|have to|will|can only|ought to)"
_HEDGE = r"(?:might|may|could|can)"
_COPULA = (
    rf"(?:{_MODAL} (?:therefore )?be|(?:seems|appears|turns out|is found|is determined) to be|is|was|are|equals"
    r"|es|est|ist|é|è|là|adalah|это)\b"
)
_PHRASE = re.compile(
    rf"(?P<box>\\(?:boxed|fbox|framebox)\s*\{{?)|(?:{'|'.join(_NOUNS)})s?(?P<says>"
    rf"(?:[ ,]{{1,3}}[\w'’]{{1,20}}){{0,5}}?[ ,]{{1,3}}(?:(?P<hedge>{_HEDGE} be\b)|{_COPULA})"
    r"|[\"'`*_)\]\s]{0,6}[:：=>][\"'`*_=\s]{0,6}"
    r"|\s{0,2}[*_]{0,3}\s[-–—]{1,2}\s"
    r"|(?<=my answer)(?:\sfrom\s[^.\n]{1,20}?)?\sto\s(?:be\s)?"
    r"|[*_ ]{0,6}\n"
    r"|\s?[是为為は은는]"
    r"|(?P<beside>(?=\s{0,2}(?:[*_]{2}|[(\[$]|\\[(\[])))"
    r")?"
)


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_DETERMINERS = _set("the a an my our best correct right final possible most likely only that we i as")
_DENIALS = _set("not never wrong incorrect false worst tempting cannot than")
_SUPPOSITIONS = _set("if suppose supposing assume assuming imagine imagining whether unless")
_OTHERS = _set(
    "agent agents assistant assistants solver solvers expert experts critic critics reviewer reviewers peer peers "
    "colleague colleagues student students teammate teammates debater debaters analyst analysts opponent opponents "
    "other others agent's agents' other's others' another someone somebody they people he she one you some "
    "his her their your previous earlier first second third"
)
_WORDS = r"(?:(?:the|a|an|my|best|correct|right|final|likely|only)\s+){0,4}"
_WHO = (
    r"(?:agents?|assistants?|solvers?|experts?|critics?|reviewers?|peers?|colleagues?|students?|teammates?|debaters?"
    r"|analysts?|opponents?|others?|another|someone|somebody|they|people|he|she|you)"
)
_SAY = (
    r"(?:say|said|think|thought|claim|argue|answer|suggest|propose|conclude|believe|state|write|wrote|insist|maintain"
    r"|assert|reply|replies|replied|feel|felt)(?:s|d|ed|ing)?"
)
_ATTRIBUTED = re.compile(
    rf"(?:\b{_WHO}\b(?![^\n]*\b(?:i|we|my|correctly|rightly)\b)[^\n]{{0,40}}\b{_SAY}\b(?:[^\n]{{0,30}}\bthat)?"
    rf"[\s,:\"“'‘(*]*{_WORDS}"
    r"|\b(?:one|you|some)\s+(?:may|might|could|would|people|say|think)\b[^\n]{0,40}"
    rf"|\b(?:{_WHO}(?:\s\w{{1,9}})?['’]s?|his|her|their|your|the\s+(?:other|others'|previous|earlier|first|second|third))"
    rf"\s+{_WORDS}"
    rf"|\baccording to\s+(?:the\s+)?(?:other\s+)?{_WHO}\b[^\n]{{0,30}}"
    r"|\b(?:agent|solver|debater|reviewer|expert)\s+\w{1,9}\W{0,4}:[^\n]{0,30})$"
)
_AT_FIRST = re.compile(r"\b(?:at first|initially|first glance)\b(?!.*\b(?:but|however|now|yet|though)\b)", re.DOTALL)
_ENDORSED = re.compile(r"(?<!not )(?<!n't )\b(?:agree|agrees|concur|as)\b")
_TAKEN_BACK = re.compile(
    r"[^\w.]{0,6}(?:alone )?(?:is|was|are|seems|looks|would be|can)(?:n't|not)?\s(?:\w{1,12}\s){0,2}?"
    r"(?:not\b|wrong|incorrect|false\b|ruled out|excluded|eliminated|out\b)"
    r"|[^\w.]{0,6}(?:isn['’]t|wasn['’]t|can['’]t be|cannot be)\b"
    r"|(?:[^.\n]|\.\d){0,50},? (?:but (?:this|that|it)|which) (?:is|was) (?:not (?:correct|the)|incorrect|wrong)"
    r"|\W{0,4}\((?:wrong|incorrect|false)\b"
    r"|['\"”’»]\W{0,4}(?:say|said|claim|wrote|write|argue|according to)"
    r"|\W{0,6}(?:wait|no|hmm|actually)\W{1,3}[^.\n]{0,30}\b(?:wrong|incorrect|not right|a mistake)"
)
_WORD = re.compile(r"[\w’']+|[,;:]")
_SENTENCE = re.compile(r"[.!?]\s|\n")
_QUESTIONS = ("question", "problem", "\nq", "human:", "user:", "now,")
_RUN_ON = re.compile(
    r"(?:question|problem|\nq|human|user)\s{0,2}\d{0,4}\s{0,2}[:：]|question \d{1,4}\s*\n"
    r"|now,?\s?(?:let['’]?s\s?)?(?:summari[sz]|combin|compil|recap|consider|总结|综合|汇总)"
    r"[^.:：\n]{0,24}(?:answers|questions|statements|答案)"
)
_BEGINS = re.compile(r"(?:^|[\n.!?])[\s*#]{0,8}(?:(?:next|new)\s)?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A place where a text may state its answer."""

    start: int  # where the phrase begins
    content: int | None  # where what it states begins; None: the word "answer" alone, what it is said of stands before
    boxed: bool = False
    hedged: bool = False  # "the answer might be (A)", "answer (A) has"


def lowered(text: str) -> str:
    """The text in lower case, as long as it was: İ is the one letter that gets longer."""
    return text.replace("İ", "I").lower()


def statements(low: str) -> Iterator[Statement]:
    """The last statements of a text in lower case, the last one first, whether it stands by them or not."""
    for at in last_places(low, (*_NOUNS, *_BOXES)):
        match = _PHRASE.match(low, at)
        if match is None or low[max(0, at - 2) : at] == "</":  # the end of <answer>…</answer>
            continue
        boxed = match["box"] is not None
        yield Statement(
            start=match.start(),
            content=match.end() if boxed or match["says"] is not None else None,
            boxed=boxed,
            hedged=match["hedge"] is not None or match["beside"] is not None,
        )


def stands_by(low: str, start: int, end: int) -> bool:
    """Whether a text stands by an answer between `start`, where its statement begins, and `end`."""
    return not _TAKEN_BACK.match(low, end, end + TAIL) and not _disowned(low, start)


def _disowned(low: str, start: int) -> bool:
    """Whether what stands before a statement says that it is negated, supposed or somebody else's."""
    if low[low.rfind("\n", 0, start) + 1 : start].lstrip().startswith(">"):
        return True
    sentence = _SENTENCE.split(low[max(0, start - LEAD) : start])[-1]
    words = _WORD.findall(sentence)
    last = next((word for word in reversed(words) if word not in _DETERMINERS), "")
    if last in _DENIALS or last in _SUPPOSITIONS or last.endswith("n't"):
        return True
    if _AT_FIRST.search(sentence) and not _ENDORSED.search(sentence):
        return True
    if _OTHERS.isdisjoint(words):
        return False
    return _ATTRIBUTED.search(sentence) is not None and _ENDORSED.search(sentence) is None


def run_on(low: str) -> Iterator[int]:
    """Where a text may go on with another question, the first place first."""
    for at in reversed(last_places(low, _QUESTIONS)):
        begins = low[at] == "\n" or _BEGINS.search(low[max(0, at - 16) : at])
        if begins and _RUN_ON.match(low, at):
            yield at


def last_places(low: str, words: Iterable[str]) -> list[int]:
    """Where any of some words stands in a text, the last place first; so many places as are looked at."""
    found: list[int] = []
    for word in words:
        at, count = low.rfind(word), 0
        while at >= 0 and count < MAX_STATEMENTS:
            found.append(at)
            at, count = low.rfind(word, 0, at), count + 1
    return sorted(found, reverse=True)[:MAX_STATEMENTS]
