"""Formulas on paper: the text is of the functions that are proved, means what they mean, and every word of it is explained.

Rules: texts that matter are pinned; parentheses are held to an evaluator of their own, on random formulas; quantifiers to z3's;
notions to what is left when each is put back for its definition. Limits: what the words *say* is read by people only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbuffer.proof import pages, prove, refinement
from ringbuffer.proof.invariant import INVARIANT, Conjunct, Facts
from ringbuffer.proof.logic import Concrete, Logic, Sort, Term
from ringbuffer.proof.notions import COMMON, HISTORIES, LOOKING, NEWEST, QUEUE, TURNS, VALUES, Definition, Notion, Paper, put
from ringbuffer.proof.printed import LETTERS, QUANTIFIERS, TRUE, Expression, Printed, Row, denied, form
from ringbuffer.proof.prove import SEQUENTIAL, Semantics, Theory
from ringbuffer.proof.refinement import MAPPING
from ringbuffer.proof.statements import OF_STATES, OfStates, OfSteps
from ringbuffer.proof.weak_invariant import FURTHER, RELEASE_ACQUIRE
from ringbuffer.protocol import PROTOCOL

WORDS = (*TURNS, *LOOKING, *QUEUE)
STRONG = Paper(PROTOCOL, SEQUENTIAL, WORDS)
WEAK = Paper(PROTOCOL, RELEASE_ACQUIRE, (*TURNS, *NEWEST))
EVERY: list[tuple[Paper, Conjunct | OfStates]] = [
    *[(STRONG, one) for one in (*INVARIANT, *OF_STATES, *MAPPING)],
    *[(WEAK, one) for one in RELEASE_ACQUIRE.invariant],
]
PARTS = (
    pages.notions,
    pages.invariant,
    pages.weak_invariant,
    pages.statements,
    pages.mapping,
    pages.obligation_counts,
)

logic = Printed()
a, b, c, x, y, z = map(Expression, "abcxyz")


def by_name(name: str) -> Conjunct:
    return next(one for one in RELEASE_ACQUIRE.invariant if one.name == name)


def lines(paper: Paper, name: str) -> list[str]:
    return list(paper.formula(by_name(name).formula).lines)


# What is printed.


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("at-rows", ["row(writer) ∈ {W1, W2, W3, W4, W5, W6}", "∀r: row(r) ∈ {R1, R2, R3, R4}"]),
        ("accepted", ["accepted = turn + [row(writer) ∈ {W5, W6}]"]),
        ("contents", ["∀b, w: written[b] = 1 ⇒ payload[b][w] = log[stamp(b)]"]),
        ("marks", ["∀b, r: written[b] = 1 ⇒ (read[b][r] = 1 ⇔ position(r) > stamp(b))"]),
        ("taken", ["∀r: written[here] = 0 ∨ row(writer) ∈ {W3, W4, W5, W6} ⇒ past(r)"]),
        (
            "numbers",
            [
                "begun ≥ 0",
                "∀i: 0 ≤ i < accepted ⇒ 1 ≤ log[i] ≤ begun",
                "∀i, j: 0 ≤ i < j < accepted ⇒ log[i] < log[j]",
            ],
        ),
        (
            "laps",
            [
                "∀b: b < here ∨ (b > here ∧ base > 0) ⇒ written[b] = 1",
                "∀b: b ≥ here ∧ base = 0 ⇒ written[b] = 0",
            ],
        ),
        ("clearing", ["∀r: row(writer) = W6 ∨ (row(writer) = W5 ∧ visited(r)) ⇒ read[here][r] = 0"]),
        (
            "marks-tell",
            [
                "∀b, r: written[b] = 1 ∧ read[b][r] = 1 ⇒ tells(read[b][r]@newest(read[b][r]))"
                " ∧ tells(read[b][r]@newest(read[b][r]), reads[b][r]) ≥ reads[b][r]"
            ],
        ),
    ],
)
def test_conjuncts_read_as_mathematics(name: str, text: list[str]) -> None:
    assert lines(WEAK if by_name(name) in FURTHER else Paper(PROTOCOL, SEQUENTIAL, TURNS), name) == text


def test_read_anew_the_invariant_has_the_same_text() -> None:
    strong = Paper(PROTOCOL, SEQUENTIAL, TURNS)
    for one in INVARIANT:
        assert strong.formula(one.formula).text == WEAK.formula(one.formula).text


@pytest.mark.parametrize(
    ("paper", "name", "text"),
    [
        (STRONG, "turn", "base + here"),
        (STRONG, "stamp(b)", "if b < here then base + b else base + b − K"),
        (STRONG, "past(r)", "position(r) > turn − K"),
        (STRONG, "turn_of(b)", "if b = here ∧ row(writer) ∈ {W5, W6} then turn else stamp(b)"),
        (STRONG, "ready(r)", "row(r) ∉ {R1, R2} ∨ (read[block(r)][r] = 0 ∧ written[block(r)] = 1)"),
        (WEAK, "written[b]", "value(written[b]@sees(writer, written[b]))"),
        (WEAK, "free(b)", "(b = here ∧ (written[b] = 0 ∨ row(writer) ∈ {W3, W4, W5, W6})) ∨ (base = 0 ∧ b > here)"),
    ],
)
def test_notions_are_defined_by_what_formulas_call(paper: Paper, name: str, text: str) -> None:
    (meaning,) = [one.meaning for one in paper.definitions if one.name.text == name]
    assert meaning.text == text


@pytest.mark.parametrize(
    ("term", "text"),
    [
        (x + y - z, "x + y − z"),
        (x - (y + z), "x − (y + z)"),
        (x + (y - z), "x + y − z"),
        (x - 1 == y, "x − 1 = y"),
        (logic.both(a, logic.either(b, c)), "a ∧ (b ∨ c)"),
        (logic.both(a, logic.both(b, c)), "a ∧ b ∧ c"),
        (logic.either(logic.both(a, b), c), "(a ∧ b) ∨ c"),
        (logic.both(a), "a"),
        (logic.both(a, True), "a"),
        (logic.both(), "true"),
        (logic.either(a, True), "true"),
        (logic.either(), "false"),
        (logic.no(logic.no(a)), "a"),
        (logic.no(logic.both(a, b)), "¬(a ∧ b)"),
        (logic.no(x < y), "x ≥ y"),
        (logic.both(x >= 0, x < y), "0 ≤ x < y"),
        (logic.no(logic.both(x >= 0, x < y)), "¬(0 ≤ x < y)"),
        (logic.either(x >= 0, x < y), "x ≥ 0 ∨ x < y"),
        (logic.both(x > 0, y < 2), "x > 0 ∧ y < 2"),
        (logic.implies(logic.both(a, b), logic.either(b, c)), "a ∧ b ⇒ b ∨ c"),
        (logic.implies(a, logic.implies(b, c)), "a ⇒ (b ⇒ c)"),
        (logic.implies(logic.implies(a, b), c), "(a ⇒ b) ⇒ c"),
        (logic.implies(True, a), "a"),
        (logic.implies(False, a), "true"),
        (logic.same(a, logic.same(b, c)), "a ⇔ (b ⇔ c)"),
        (logic.same(a, logic.both(b, c)), "a ⇔ b ∧ c"),
        (logic.choose(a, 1, 0) + x, "[a] + x"),
        (logic.choose(a, 0, 1), "if a then 0 else 1"),
        (logic.any(Sort.READER, "visited")[0], "visited"),
        (logic.choose(a, x, y) + 1, "(if a then x else y) + 1"),
        (logic.choose(a, x, logic.choose(b, y, z)), "if a then x else (if b then y else z)"),
        (logic.choose(logic.implies(a, b), x, y), "if (a ⇒ b) then x else y"),
        (logic.choose(True, x, y), "x"),
        (logic.for_all((Sort.READER,), lambda r: logic.some((Sort.READER,), lambda q: r == q)), "∀r: ∃q: r = q"),
        (logic.for_all((Sort.BLOCK,), lambda b: logic.for_all((Sort.WORD,), lambda w: b > w)), "∀b, w: b > w"),
        (logic.implies(a, logic.some((Sort.TIME,), lambda t: t > x)), "a ⇒ ∃t: t > x"),
        (logic.implies(logic.some((Sort.TIME,), lambda t: t > x), a), "(∃t: t > x) ⇒ a"),
        (logic.both(a, logic.some((Sort.TIME,), lambda t: t > x)), "a ∧ (∃t: t > x)"),
        (logic.for_all((Sort.TIME,), lambda _: True), "true"),
        (Expression("f@{}", (logic.choose(a, x, y),)), "f@(if a then x else y)"),
    ],
)
def test_parentheses_are_where_they_are_needed(term: Expression, text: str) -> None:
    assert term.text == text


def test_letters_are_free_again_behind_their_quantifier() -> None:
    one, other = (logic.for_all((Sort.INDEX, Sort.INDEX), lambda i, j: i < j) for _ in range(2))
    assert logic.both(one, other).text == "(∀i, j: i < j) ∧ (∀i, j: i < j)"


def test_program_counters_are_rows() -> None:
    row = Row("row(r)", rows=("R1", "R2", "R3"))
    shown = {
        "row(r) = R2": row == 1,
        "row(r) ∈ {R1, R2}": row <= 1,
        "row(r) ∉ {R1, R2}": logic.no(row < 2),
        "row(r) ≠ R3": logic.no(row > 1),
        "row(r) ∈ {R1, R3}": logic.either(row == 2, row == 0),
        "false": row > 2,
    }
    assert [term.text for term in shown.values()] == list(shown)
    assert logic.both(row >= 1, row < 2).text == "row(r) = R2"


def test_formulas_joined_by_python_are_refused() -> None:
    with pytest.raises(TypeError, match="neither true nor false"):
        logic.no(x < y and y < z)


def test_the_contrary_has_its_negations_inside() -> None:
    wrong = logic.either(x != y, logic.some((Sort.INDEX,), lambda i: logic.both(i >= 0, i < x, i == z)))
    assert denied(wrong).lines == ("x = y", "∀i: 0 ≤ i < x ⇒ i ≠ z")
    assert denied(TRUE).text == "false"


# That it means what is proved.

Make = Callable[[Logic, dict[str, Term]], Term]


def numbers() -> st.SearchStrategy[Make]:
    def names(name: str) -> Make:
        return lambda _, values: values[name]

    def summed(minus: bool, one: Make, other: Make) -> Make:
        return lambda of, values: one(of, values) - other(of, values) if minus else one(of, values) + other(of, values)

    return st.recursive(st.sampled_from("xyz").map(names), lambda one: st.builds(summed, st.booleans(), one, one), max_leaves=4)


def formulas() -> st.SearchStrategy[Make]:
    def compared(sign: str, one: Make, other: Make) -> Make:
        return lambda of, values: getattr(one(of, values), f"__{sign}__")(other(of, values))

    def joined(name: str, parts: list[Make]) -> Make:
        return lambda of, values: getattr(of, name)(*[part(of, values) for part in parts])

    def counted(condition: Make, yes: Make, no: Make, than: Make) -> Make:
        def chosen(of: Logic, values: dict[str, Term]) -> Term:
            simple = of.choose(condition(of, values), 1, 0)
            return of.choose(condition(of, values), yes(of, values), no(of, values)) + simple <= than(of, values)

        return chosen

    signs = st.sampled_from(("lt", "le", "gt", "ge", "eq", "ne"))
    simple = st.builds(compared, signs, numbers(), numbers())

    def larger(one: st.SearchStrategy[Make]) -> st.SearchStrategy[Make]:
        several = st.builds(joined, st.sampled_from(("both", "either")), st.lists(one, max_size=3))
        two = st.builds(joined, st.sampled_from(("implies", "same")), st.lists(one, min_size=2, max_size=2))
        return several | two | st.builds(lambda one: joined("no", [one]), one) | st.builds(counted, one, *[numbers()] * 3)

    return st.recursive(simple, larger, max_leaves=8)


def said(text: str, values: dict[str, int]) -> bool:
    """What a text without quantifiers says, by rules of its own: innermost parentheses first, then ⇔ or ⇒, then Python's."""
    signs = {"∧": "and", "∨": "or", "¬": "not ", "≤": "<=", "≥": ">=", "≠": "!=", "−": "-", "=": "=="}
    names = {"true": "True", "false": "False", **{name: str(value) for name, value in values.items()}}

    def flat(inner: str) -> Any:
        for arrow in "⇔⇒":
            assert inner.count(arrow) <= 1, "two arrows on one level"
            if arrow in inner:
                assert inner.count("⇔") + inner.count("⇒") == 1, "two arrows on one level"
                one, other = map(flat, inner.split(arrow))
                return bool(one) == bool(other) if arrow == "⇔" else (not one) or other
        assert not ("∧" in inner and "∨" in inner), "∧ and ∨ on one level"
        inner = re.sub(r"if (.*) then (.*) else (.*)", r"((\2) if (\1) else (\3))", inner)
        return eval(re.sub(r"[a-z]+", lambda m: names.get(m[0], m[0]), "".join(signs.get(one, one) for one in inner)))

    while found := re.search(r"\(([^()\[\]]*)\)|\[([^()\[\]]*)\]", text):
        value = flat(found[1] or found[2])
        text = f"{text[: found.start()]} {int(value) if found[2] else value} {text[found.end() :]}"
    return bool(flat(text))


@given(formulas(), st.lists(st.integers(0, 3), min_size=3, max_size=3))
def test_the_text_says_what_the_formula_says(make: Make, given: list[int]) -> None:
    values = dict(zip("xyz", given, strict=True))
    text = make(logic, {name: Expression(name) for name in "xyz"}).text
    assert said(text, values) == bool(make(Concrete(1, 1, 1, 1), values))


SORT_NAMES = {Sort.READER: "Reader", Sort.TIME: "Real", Sort.BLOCK: "Int", Sort.WORD: "Int", Sort.INDEX: "Int"}


def quantified(term: Expression) -> Iterator[tuple[bool, str]]:
    """Every variable of every quantifier on paper: whether it is for all, and its sort for z3."""
    if term.sign in QUANTIFIERS:
        for variable in term.parts[1:]:
            (sort,) = [sort for sort, letters in LETTERS.items() if variable.sign in letters]
            yield term.sign == "∀", SORT_NAMES[sort]
    for part in term.parts:
        yield from quantified(part)


def quantified_by_z3(theory: Theory, term: Any) -> Iterator[tuple[bool, str]]:
    if theory.logic.z3.is_quantifier(term):
        for index in range(term.num_vars()):
            yield term.is_forall(), term.var_sort(index).name()
    for child in term.children():
        yield from quantified_by_z3(theory, child)


@pytest.mark.parametrize("memory", [SEQUENTIAL, RELEASE_ACQUIRE], ids=["sc", "ra"])
def test_the_quantifiers_are_those_that_z3_gets(memory: Semantics) -> None:
    theory, paper = Theory(PROTOCOL, memory), Paper(PROTOCOL, memory, ())
    them: tuple[Conjunct | OfStates, ...] = (*memory.invariant, *memory.of_states, *MAPPING)
    for one in them:
        asked = one.formula(theory.facts, theory.logic)
        assert Counter(quantified(paper.formula(one.formula))) == Counter(quantified_by_z3(theory, asked)), one.name


def in_full(term: Expression, paper: Paper) -> Expression:
    """The term with every notion's definition in its place."""
    parts = tuple(in_full(part, paper) for part in term.parts)
    for one in paper.definitions:
        if one.name.sign == term.sign and len(one.name.parts) == len(parts):
            given = dict(zip((part.sign for part in one.name.parts), parts, strict=True))
            return filled(in_full(one.meaning, paper), given)
    return replace(term, parts=parts) if parts else term


def filled(term: Expression, given: dict[str, Expression]) -> Expression:
    if not term.parts:
        return given.get(term.sign, term)
    return replace(term, parts=tuple(filled(part, given) for part in term.parts))


@pytest.mark.parametrize(("paper", "one"), EVERY, ids=lambda one: getattr(one, "name", ""))
def test_notions_put_back_for_their_definitions_leave_the_formula(paper: Paper, one: Conjunct | OfStates) -> None:
    bare = Paper(PROTOCOL, SEQUENTIAL if paper is STRONG else RELEASE_ACQUIRE, ())
    assert in_full(paper.formula(one.formula), paper).text == bare.formula(one.formula).text


def defined(name: str, letter: str, meaning: Callable[[Printed, Expression], Term]) -> Definition:
    """A notion of one letter."""
    paper = Printed()
    with paper.variables(letter) as (variable,):
        notion = Notion(name, letter, "", lambda _, one: meaning(paper, one))
        return Definition(notion, Expression(name, (variable,)), notion.definition(None, variable))


def test_a_notion_is_not_used_where_a_variable_would_be_caught() -> None:
    alone = defined("alone({})", "r", lambda of, r: of.for_all((Sort.READER,), lambda q: q == r))
    q, p = Expression("q"), Expression("p")
    assert put(replace(alone.meaning, parts=(q == p, q)), [alone]).text == "alone(p)"
    assert put(replace(alone.meaning, parts=(q == q, q)), [alone]).text == "∀q: q = q"


def test_a_notion_has_one_term_for_each_letter() -> None:
    twice = defined("twice({})", "x", lambda _, x: x + x)
    assert put(y - 1 + (y - 1), [twice]).text == "twice(y − 1)"
    assert put(y + z, [twice]).text == "y + z"


def test_another_formula_has_another_text() -> None:
    texts = [paper.formula(one.formula).text for paper, one in EVERY if paper is STRONG or one in FURTHER]
    assert len(set(texts)) == len(texts)

    class Lenient(Facts):
        def past(self, reader: Term) -> Term:
            return self.place(reader) >= self.turn - self.blocks

    lenient = Paper(PROTOCOL, SEQUENTIAL._replace(facts=Lenient), TURNS)
    assert [one.meaning.text for one in lenient.definitions if one.name.text == "past(r)"] == ["position(r) ≥ turn − K"]
    taken = by_name("taken").formula(lenient.facts, lenient.logic)
    assert put(taken, Paper(PROTOCOL, SEQUENTIAL, TURNS).definitions).text.endswith("⇒ position(r) ≥ turn − K")


def test_an_edited_table_has_other_rows() -> None:
    paper = Paper(PROTOCOL.without("W5"), SEQUENTIAL, TURNS)
    assert lines(paper, "accepted") == ["accepted = turn + [row(writer) = W6]"]


# That every word is explained, and nothing else shows.

RAW = re.compile(r"!|\bpc\b|lambda|0x|<function|object at|\{\}|None|\bwriter\.|\breader\.")


@pytest.mark.parametrize(("paper", "one"), EVERY, ids=lambda one: getattr(one, "name", ""))
def test_every_word_is_a_notion_or_a_field(paper: Paper, one: Conjunct | OfStates) -> None:
    term = paper.formula(one.formula)
    known = {definition.name.sign for definition in paper.definitions}
    known |= {form(name) for fields in (*COMMON, *VALUES, *HISTORIES) for name in fields.names}
    known |= {
        "K",
        "W",
        "[{}]",
        *"".join(LETTERS.values()),
        *(row.row.id for table in PROTOCOL.programs for row in table.instructions),
    }
    unknown = {name.sign for name in term.names() if not name.sign.isdecimal()} - known
    assert not unknown
    assert not RAW.search(term.text)


@pytest.mark.parametrize("memory", [SEQUENTIAL, RELEASE_ACQUIRE], ids=["sc", "ra"])
def test_every_field_is_explained_once(memory: Semantics) -> None:
    values = VALUES if memory is SEQUENTIAL else HISTORIES
    explained = Counter(name for fields in (*values, *COMMON) for name in fields.names)
    unused = {"writer.lock", "reader.lock", "reader.todo", "reader.zeros"}
    assert explained == Counter(set(memory.fields) - unused)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: str(part.__name__))
def test_parts_are_whole_tables_of_code_and_words(part: Callable[[], str]) -> None:
    text = part()
    assert part() == text
    assert not RAW.search(text)
    for table in re.split(r"\n\n(?=\|)", text):
        widths = {len(re.split(r"(?<= )\||\|$", line)) for line in table.splitlines() if line.startswith("|")}
        assert len(widths) == 1
    assert all(cell.count("`") % 2 == 0 for cell in text.split("|"))


def test_each_table_has_each_name() -> None:
    expected: dict[Callable[[], str], tuple[Conjunct | OfStates | OfSteps, ...]] = {
        pages.invariant: INVARIANT,
        pages.weak_invariant: FURTHER,
        pages.statements: (*RELEASE_ACQUIRE.of_steps, *OF_STATES),
        pages.mapping: (*MAPPING, *refinement.STEPS),
    }
    for part, them in expected.items():
        text = part()
        assert all(f"| `{one.name}` | {one.says} |" in text for one in them)


def test_steps_of_the_queue_are_in_symbols() -> None:
    text = pages.mapping()
    assert "`received(r) < sent`<br>`m = log[received(r)]`<br>`received′(r) = received(r) + 1`<br>`sent′ = sent`" in text
    assert "`∀i: 0 ≤ i < accepted ⇒ log[i] ≠ m`<br>`∀r: sent′ − received′(r) ≤ K`<br>`sent′ = sent + 1`" in text


@pytest.mark.parametrize("memory", ["sc", "ra"])
def test_obligations_are_counted_as_they_are_made(memory: str) -> None:
    theory = Theory(PROTOCOL, pages.MEMORIES[memory])
    *counts, refining = [int(cell) for cell in re.findall(r"\d+", pages.obligation_counts().partition(f"`{memory}`")[2])][1:5]
    rows = sum(len(program) for program in PROTOCOL.programs)
    assert counts[:2] == [len(theory.conjuncts), len(theory.conjuncts) * rows]
    assert sum(counts) == len(list(prove.obligations(theory)))
    assert refining == len(list(refinement.obligations(theory)))


def test_long_lines_are_broken_at_their_arrow() -> None:
    rows = [line for line in pages.weak_invariant().splitlines() if "`not-misled`" in line]
    assert rows[0].endswith("<br>&emsp;`⇒ t = sees(writer, written[block(r)])` |")
