"""Tokens: they bring a run back, pass shells and URLs unchanged, and are refused when they are not what they were."""

from __future__ import annotations

import base64
import random
import shlex
import string
import urllib.parse
import zlib

import pytest
from edits import variants
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuffer.errors import RingBufferError, TokenError
from ringbuffer.memory.sequential import SequentiallyConsistent
from ringbuffer.memory.simulated import MEMORIES
from ringbuffer.protocol import ORIGINAL, PROTOCOL, Variant
from ringbuffer.simulator import Setup, Simulation
from ringbuffer.trace.token import STEPS_MAX, Schedule, Token, tables_digest

FIELDS: dict[str, int | str] = {"r": 2, "b": 2, "p": 2, "w": 1, "m": 0, "a": 1, "t": 0, "k": "n", "on": "sc"}
OF_THE_VERSION_BEFORE = "rb1.r1b1p2w1m0a1sc.shipped.000000.0..0000"
DIGITS = st.integers(1, 20).flatmap(lambda base: st.tuples(st.integers(0, base - 1), st.just(base)))


def any_token(variant: Variant = PROTOCOL, seed: int = 1, steps: int = 3000) -> Token:
    """A token whose choices are so many that every character that can stand in them does."""
    draw = random.Random(seed)
    return Token.of_run(variant, FIELDS, [(draw.randrange(8), 8) for _ in range(steps)])


def run(setup: Setup, seed: int = 1, steps: int = 12) -> Simulation:
    simulation = Simulation(setup)
    simulation.run(seed, steps)
    return simulation


def with_check(token: str, **parts: str) -> str:
    """A token with some of its parts replaced, and a check that fits again: what somebody could make on purpose.

    How long the check is, is taken from the token itself.
    """
    names = ("prefix", "setup", "edits", "tables", "count", "choices", "check")
    *values, check = (parts.get(name, value) for name, value in zip(names, token.split("."), strict=True))
    text = ".".join(values)
    return f"{text}.{f'{zlib.crc32(text.encode()):08x}'[-len(check) :]}"


@settings(deadline=None)
@given(
    variants(),
    st.lists(DIGITS, max_size=200),
    st.sampled_from(["sc", "tso", "ra", "ra_relaxed"]),
    st.integers(1, 9),
    st.integers(0, 9),
    st.sampled_from("nrw"),
)
def test_a_token_is_read_back_with_all_that_it_was_made_of(
    variant: Variant, digits: list[tuple[int, int]], memory: str, readers: int, twins: int, killed: str
) -> None:
    made = Token.of_run(variant, {**FIELDS, "on": memory, "r": readers, "t": twins, "k": killed}, digits)
    token = Token.parse(str(made))
    assert token == made
    assert str(token) == str(made)
    assert token.variant == variant
    assert token.step_count == len(digits)
    assert (token.field("on"), token.number("r"), token.number("b")) == (memory, readers, 2)
    assert (token.number("t"), token.field("k")) == (twins, killed)
    schedule = token.schedule()
    assert [schedule.next(base) for _, base in digits] == [digit for digit, _ in digits]
    schedule.finish()


@settings(deadline=None)
@given(
    st.builds(
        Setup,
        variants(edits_max=3),
        st.integers(1, 3),
        st.integers(1, 3),
        words=st.integers(1, 3),
        writers=st.integers(1, 2),
        messages=st.none() | st.integers(1, 5),
        aborts=st.booleans(),
        memory=st.sampled_from(list(MEMORIES)),
        twins=st.integers(0, 1),
        killed=st.sampled_from(["", "reader", "writer"]),
    ),
    st.integers(0, 2**32),
    st.integers(0, 40),
)
def test_replaying_a_token_gives_the_same_run(setup: Setup, seed: int, steps: int) -> None:
    first = run(setup, seed, steps)
    again = Simulation.replay(first.token())
    assert again.setup == setup
    assert again.steps == first.steps
    assert again.state._replace(memory=None) == first.state._replace(memory=None)
    assert [step.choice for step in again.possible()] == [step.choice for step in first.possible()]
    if setup.memory in ("sc", "tso"):
        assert again.state == first.state, "a state of views is one object, known to its own memory alone"
    assert again.token() == first.token()


@settings(deadline=None)
@given(variants(edits_max=3), st.integers(0, 2**32))
def test_shells_pass_a_token_unchanged(variant: Variant, seed: int) -> None:
    token = str(any_token(variant, seed))
    assert token.isascii()
    assert shlex.quote(token) == token
    assert shlex.split(f"replay {token}") == ["replay", token]
    assert not set(token) & set("~*?[]{}()!$&;|<>#'\"\\`% ")


@pytest.mark.parametrize(
    "variant", [PROTOCOL, ORIGINAL, PROTOCOL.swapped("W5", "W6"), PROTOCOL.without("W3").weakened("W6")], ids=str
)
def test_a_url_passes_a_token_unchanged(variant: Variant) -> None:
    """As a query's value, too, where a plus sign means a space."""
    token = str(any_token(variant))
    assert set(string.ascii_letters + string.digits + "-_") <= set(token)
    assert urllib.parse.parse_qs(f"token={token}") == {"token": [token]}
    assert urllib.parse.urlsplit(f"https://example.org/{token}?token={token}#{token}")[2:] == (
        f"/{token}",
        f"token={token}",
        token,
    )


def test_damage_of_any_single_character_is_noticed() -> None:
    token = run(Setup(PROTOCOL.swapped("W5", "W6"))).token()
    for place, was in enumerate(token):
        for character in string.printable:
            damaged = token[:place] + character + token[place + 1 :]
            if damaged.strip() != token:
                with pytest.raises(TokenError):
                    Token.parse(damaged)
            else:
                assert character == was


def test_a_lost_or_doubled_character_is_noticed() -> None:
    token = run(Setup()).token()
    for place in range(len(token)):
        for damaged in (token[:place] + token[place + 1 :], token[:place] + token[place] + token[place:], token[:place]):
            if damaged != token:
                with pytest.raises(TokenError):
                    Token.parse(damaged)


def test_damage_of_a_single_character_of_a_long_token_is_noticed() -> None:
    """Half of the bits of CRC-32 are too few: they miss a change of these bits at this distance from the end."""
    flipped_bits, characters_behind = 87, 1355
    letters = string.ascii_letters + string.digits + "-_"
    tried = 0
    for seed in range(20):
        body, _, check = str(any_token(seed=seed, steps=4000)).rpartition(".")
        place = len(body) - 1 - characters_behind
        character = chr(ord(body[place]) ^ flipped_bits)
        if character in letters:
            tried += 1
            with pytest.raises(TokenError, match="damaged"):
                Token.parse(f"{body[:place]}{character}{body[place + 1 :]}.{check}")
    assert tried


def test_space_around_a_token_does_no_harm() -> None:
    token = run(Setup()).token()
    assert Token.parse(f"  {token}\n") == Token.parse(token)


NO_TOKENS = ["", ".", "rb2", "hello", "rb2......", OF_THE_VERSION_BEFORE, "rb2.a.b.c.d.e.f", "1.2.3.4.5.6.7.8", "\0", "é" * 50]


@pytest.mark.parametrize("text", NO_TOKENS)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(TokenError) as caught:
        Token.parse(text)
    assert isinstance(caught.value, RingBufferError)
    assert isinstance(caught.value, ValueError)


@settings(deadline=None)
@given(st.text(max_size=30) | st.text(string.printable, max_size=30).map(lambda text: f"rb2.{text}"))
def test_no_text_at_all_raises_anything_else(text: str) -> None:
    with pytest.raises(TokenError):
        Token.parse(text)


def test_a_character_that_has_no_bytes_is_refused_like_any_other_damage() -> None:
    """Command lines give such characters: Python decodes bytes that are no UTF-8 to lone surrogates."""
    token = run(Setup()).token()
    with pytest.raises(TokenError):
        Token.parse(token[:30] + "\udcff" + token[31:])


def test_a_long_token_is_not_printed_whole_in_the_error() -> None:
    with pytest.raises(TokenError) as caught:
        Token.parse("x" * 1000)
    assert "x" * 37 + "..." in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"tables": "000000"}, "was made with other tables than those of this version"),
        ({"edits": "without=W3"}, "was made with other tables"),
        ({"edits": "without=W9"}, "the token's edits do not apply: no row 'W9' here"),
        ({"edits": "drop=W3"}, "the token's edits do not apply: unknown edit"),
        ({"edits": ""}, "the token's edits do not apply: unknown edit ''"),
        ({"setup": "r2b2"}, "names a setup that this version does not know"),
        ({"setup": "r2b2p2w1m0a2t0knsc"}, "names a setup"),
        ({"setup": "r2b2p2w1m0a1t0kn"}, "names a setup"),
        ({"setup": "r2b2p2w1m0a1sc"}, "names a setup"),
        ({"setup": "r2b2p2w1m0a1t10knsc"}, "names a setup"),
        ({"setup": "r2b2p2w1m0a1t0kxsc"}, "names a setup"),
        ({"setup": "r-1b2p2w1m0a1t0knsc"}, "names a setup"),
        ({"count": ""}, "names a setup"),
        ({"count": "-1"}, "names a setup"),
        ({"count": str(STEPS_MAX + 1)}, "names a setup"),
        ({"choices": "A"}, "its choices cannot be decoded"),
    ],
)
def test_a_token_that_was_made_up_is_refused_with_the_reason(parts: dict[str, str], words: str) -> None:
    with pytest.raises(TokenError) as caught:
        Token.parse(with_check(run(Setup()).token(), **parts))
    assert words in str(caught.value)


def test_the_tokens_that_are_made_up_here_would_pass_otherwise() -> None:
    token = run(Setup()).token()
    assert with_check(token) == token
    assert Token.parse(with_check(token, edits="without=W3", tables=tables_digest(PROTOCOL.without("W3")))).edits


@pytest.mark.parametrize(
    "parts",
    [
        {"count": "9" * 5000},
        {"setup": f"r{'9' * 5000}b2p2w1m0a1t0knsc"},
        {"edits": "without=R1+without=R2+without=R3+without=R4"},
        {"edits": "without=R1_without=R2_without=R3_without=R4"},
        {"setup": "r99b2p2w1m0a1t0knsc"},
        {"setup": "r0b2p2w1m0a1t0knsc"},
        {"setup": "r2b2p9w1m0a1t0knsc"},
        {"setup": "r2b2p2w9m0a1t0knsc"},
        {"setup": "r2b2p2w1m5000a1t0knsc"},
        {"setup": "r2b2p2w1m0a1t0kndram"},
        {"setup": "r2b2p2w1m0a1t2knsc"},
        {"setup": "r2b2p2w1m0a1t0knra-relaxed"},
        {"choices": "é"},
        {"count": "٣"},
    ],
    ids=lambda parts: ".".join(f"{name}={text[:20]}" for name, text in parts.items()),
)
def test_replaying_a_made_up_token_raises_a_token_error_and_nothing_else(parts: dict[str, str]) -> None:
    with pytest.raises(TokenError):
        Simulation.replay(with_check(run(Setup()).token(), **parts))


def test_a_token_that_goes_on_where_nobody_has_a_step_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a memory that answers no load; or where all is written and the only reader is killed."""

    class Silent(SequentiallyConsistent):
        load = staticmethod(lambda *_: ())  # type: ignore[assignment]

    monkeypatch.setitem(MEMORIES, "silent", Silent)
    with pytest.raises(TokenError, match="goes on where no step is possible"):
        Simulation.replay(with_check(run(Setup()).token(), setup="r2b2p2w1m0a1t0knsilent"))
    alone = Simulation(Setup(readers=1, blocks=1, words=1, messages=1, aborts=False, killed="reader"))
    while alone.possible():
        alone.step(len(alone.possible()) - 1 if len(alone.steps) == 0 else 0)
    assert [step.kind for step in alone.steps[:1]] == ["kill"]
    whole = alone.token()
    assert Simulation.replay(whole).steps == alone.steps
    with pytest.raises(TokenError, match="goes on where no step is possible"):
        Simulation.replay(with_check(whole, count=str(len(alone.steps) + 1)))


def test_choices_that_no_step_asks_for_are_refused() -> None:
    token = run(Setup()).token()
    assert Simulation.replay(with_check(token, count="0", choices="")).steps == []
    with pytest.raises(TokenError, match="more choices than its steps can use"):
        Simulation.replay(with_check(token, count="0"))


def test_a_run_that_is_too_long_has_no_token() -> None:
    Token.of_run(PROTOCOL, FIELDS, [(0, 1)] * STEPS_MAX)
    with pytest.raises(TokenError, match=f"a run of {STEPS_MAX + 1} steps is too long"):
        Token.of_run(PROTOCOL, FIELDS, [(0, 1)] * (STEPS_MAX + 1))


def test_a_schedule_gives_its_choices_back_in_any_bases() -> None:
    schedule = Schedule(2 + 3 * (0 + 1 * (4 + 5 * 1)))
    assert [schedule.next(base) for base in (3, 1, 5)] == [2, 0, 4]
    with pytest.raises(TokenError, match="damaged"):
        schedule.finish()
    assert schedule.next(2) == 1
    schedule.finish()


@settings(deadline=None)
@given(variants(), variants())
def test_tables_have_one_digest_exactly_when_they_do_the_same(first: Variant, second: Variant) -> None:
    def deeds(variant: Variant) -> tuple[object, ...]:
        rows = [(i.row.id, i.row.access, i.branches) for program in variant.programs for i in program.instructions]
        return tuple(rows), variant.initial_read_flag

    assert (tables_digest(first) == tables_digest(second)) == (deeds(first) == deeds(second))


def test_a_token_of_this_version_has_this_form() -> None:
    """A snapshot: changing the form makes old tokens useless, and should be done knowingly."""
    simulation = Simulation(Setup(PROTOCOL.without("W3")))
    for number in (0, 1, 0, 2, 1):
        simulation.step(number)
    prefix, setup, edits, tables, count, choices, check = simulation.token().split(".")
    assert (prefix, setup, edits, count) == ("rb2", "r2b2p2w1m0a1t0knsc", "without=W3", "5")
    assert (tables, with_check(simulation.token())[-len(check) :]) == (tables_digest(PROTOCOL.without("W3")), check)
    bases = 3, 4, 3, 4  # each actor has one step, but for the writer while it fills: it may also be aborted
    packed = 0 + bases[0] * (1 + bases[1] * (0 + bases[2] * (2 + bases[3] * 1)))
    assert choices == base64.urlsafe_b64encode(bytes([packed])).decode().rstrip("=") == "2w"
