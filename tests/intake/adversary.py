"""An adversary that makes other requests out of a string that was signed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote_plus

from zoho_sync.intake.hints import ENTITY_HEADER, OPERATION_HEADER, QUERY_KEYS
from zoho_sync.intake.http import is_form, pairs

TYPE, FORM = "application/json", "application/x-www-form-urlencoded"
KEYS: Final = (*QUERY_KEYS, "source", "Tenant", "payload", "data", "invoice", "last_modified_time")
_MOST_PAIRS: Final = 12

Pair = tuple[str, str]


@dataclass(frozen=True)
class Sent:
    """A request as it is sent; of the path, what it names."""

    body: bytes = b""
    query: tuple[tuple[str, str], ...] = ()
    content_type: str = TYPE
    method: str = "POST"
    entity: str | None = None
    entity_id: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


def form_of(fields: Sequence[Pair]) -> bytes:
    return "&".join(f"{quote_plus(key)}={quote_plus(value)}" for key, value in fields).encode()


def string_of(sent: Sent) -> str:
    """Return what was signed, which the adversary has to keep."""
    form = pairs(sent.body) if is_form(sent.content_type) else ()
    merged = sorted([*sent.query, *form], key=lambda pair: pair[0])
    rest = "" if is_form(sent.content_type) else sent.body.decode()
    return "".join(map("".join, merged)) + rest


def elsewhere(body: bytes, query: Sequence[Pair], content_type: str, dice: random.Random) -> Sent:
    """Return a request under any type, method, path and headers: none of them is signed."""
    return Sent(
        body,
        tuple(query),
        content_type if dice.random() < 0.8 else dice.choice([TYPE, FORM, "text/plain", ""]),
        dice.choice(["POST", "POST", "PUT", "DELETE"]),
        dice.choice([None, None, None, "invoice", "item", "contact", "vendor"]),
        dice.choice([None, None, None, "71", "5"]),
        dice.choice([{}, {}, {}, {OPERATION_HEADER: "delete"}, {ENTITY_HEADER: "item"}]),
    )


def cut(text: str, dice: random.Random) -> list[Pair]:
    """Cut a text into pairs, most often where a known key stands."""
    made: list[Pair] = []
    while text and len(made) < _MOST_PAIRS:
        likely = [key for key in KEYS if text.startswith(key)]
        any_size = dice.randint(0, min(len(text), 20))
        size = len(dice.choice(likely)) if likely and dice.random() < 0.8 else any_size
        key, rest = text[:size], text[size:]
        known = [at for at in range(len(rest)) if any(rest.startswith(each, at) for each in KEYS)]
        ends = [len(rest), len(rest), *known[:8], dice.randint(0, len(rest)), rest.find("{")]
        end = max(0, dice.choice([*ends, rest.rfind("}") + 1]))
        made.append((key, rest[:end]))
        text = rest[end:]
    return [*made[:-1], (made[-1][0], made[-1][1] + text)] if made else []


def forged(original: Sent, dice: random.Random) -> Sent:
    """Return a request that is cut from the string without regard to how it was sent."""
    string = string_of(original)
    braces = [at for at, letter in enumerate(string) if letter == "{"]
    at = dice.choice([0, len(string), *braces[:6], *braces[-2:], dice.randint(0, len(string))])
    cuts, body = cut(string[:at], dice), string[at:].encode()
    if body and dice.random() < 0.7:
        dice.shuffle(cuts)
        return elsewhere(body, cuts, TYPE, dice)
    query, form = scattered([*cuts, *cut(string[at:], dice)], dice, 0.5)
    return elsewhere(form_of(form), query, FORM, dice)


def scattered(
    both: Sequence[Pair], dice: random.Random, share: float
) -> tuple[list[Pair], list[Pair]]:
    """Return the pairs that go into the query, and those that go into a form."""
    into_form = {at for at in range(len(both)) if dice.random() < share}
    query = [pair for at, pair in enumerate(both) if at not in into_form]
    return query, [both[at] for at in sorted(into_form)]


# Each takes pairs in their order, the place of one of them, and the JSON body behind them.
Nudge = Callable[[list[Pair], int, str, random.Random], tuple[list[Pair], str]]


def shift(both: list[Pair], at: int, body: str, dice: random.Random) -> tuple[list[Pair], str]:
    """Shift the boundary between a key and its value."""
    text, size = "".join(both[at]), max(0, len(both[at][0]) + dice.choice([-2, -1, 1, 2, 3]))
    return [*both[:at], (text[:size], text[size:]), *both[at + 1 :]], body


def swallow(both: list[Pair], at: int, body: str, dice: random.Random) -> tuple[list[Pair], str]:
    """Let a value swallow what follows it, or the beginning of that."""
    (key, value), after = both[at], "".join(map("".join, both[at + 1 : at + 2])) or body
    size = dice.choice([len(after), 1, 2])
    mine = [*both[:at], (key, value + after[:size])]
    if at + 1 == len(both):
        return mine, body[size:]
    return [*mine, *([(after[size:], "")] if after[size:] else []), *both[at + 2 :]], body


def divide(both: list[Pair], at: int, body: str, dice: random.Random) -> tuple[list[Pair], str]:
    """Make two pairs of one."""
    key, value = both[at]
    size = dice.randint(0, len(value))
    two = [(key, value[:size]), (value[size : size + 3], value[size + 3 :])]
    return [*both[:at], *two, *both[at + 1 :]], body


def carry(both: list[Pair], at: int, body: str, dice: random.Random) -> tuple[list[Pair], str]:  # noqa: ARG001  # as the others
    """Make the pairs from here on the name of the field that carries the body."""
    return [*both[:at], ("".join(map("".join, both[at:])), body)], ""


def spill(both: list[Pair], at: int, body: str, dice: random.Random) -> tuple[list[Pair], str]:  # noqa: ARG001  # as the others
    """Make the pairs from here on the beginning of the body."""
    return both[:at], "".join(map("".join, both[at:])) + body


NUDGES: Final[Sequence[Nudge]] = (shift, swallow, divide, carry, spill)


def nudged(original: Sent, dice: random.Random) -> Sent:
    """Return a request that is an honest one but for a few boundaries and places."""
    form = pairs(original.body) if is_form(original.content_type) else ()
    both = sorted([*original.query, *form], key=lambda pair: pair[0])
    body = "" if form else original.body.decode()
    for _ in range(dice.randint(0, 3)):
        if both:
            both, body = dice.choice(NUDGES)(both, dice.randrange(len(both)), body, dice)
    if body:
        return elsewhere(body.encode(), both, TYPE, dice)
    query, in_form = scattered(both, dice, dice.choice([0, 0.3, 1]))
    carriers = [pair for pair in query if "{" in pair[1]]
    if form and carriers and dice.random() < 0.8:
        query, in_form = [p for p in query if p not in carriers], [*in_form, *carriers]
    return elsewhere(form_of(in_form), query, FORM, dice)


def flipped(original: Sent, dice: random.Random) -> Sent:
    """Return a request with one byte of its body changed."""
    at = dice.randrange(len(original.body) or 1)
    body = original.body[:at] + bytes([dice.randrange(256)]) + original.body[at + 1 :]
    return elsewhere(body, original.query, original.content_type, dice)


def whole(original: Sent, dice: random.Random) -> Sent:
    """Return a request whose body is the signed string: all that a hash of bodies sees."""
    string = string_of(original).encode()
    query = [*original.query, ("op", "delete"), ("id", "5"), ("JSONString", "{}")]
    return elsewhere(
        original.body if dice.random() < 0.5 else string,
        dice.sample(query, dice.choice([0, 0, 1, 2])),
        dice.choice([TYPE, FORM, FORM]),
        dice,
    )


def attack(original: Sent, dice: random.Random) -> Sent:
    """Return one request that the adversary tries."""
    make = dice.choices([forged, nudged, flipped], [4, 5, 1])[0]
    return make(original, dice)
