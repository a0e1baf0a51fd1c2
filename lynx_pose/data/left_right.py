"""Which keypoints are each other's mirror image, by their names."""

import re
from collections.abc import Iterator, Sequence

# Words, runs of capitals and numbers: paw1LH_top is paw, 1, LH, top, and EyeL is Eye, L.
_TOKENS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_SIDES = {"left": "left", "l": "left", "right": "right", "r": "right"}
# Of two letters one is the side; the other says front, fore, back, hind, middle or rear.
_WHERE = "fbhmr"
# A side, and the name with a gap where it was.
Reading = tuple[str, tuple[str, ...]]
GAP = "*"


def mirrored_pairs(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Find (left, right) index pairs in names.

    The side may stand anywhere, as a word, a letter, or in two letters with a part of the body: `left_eye`, `earleft`,
    `eye.L`, `EyeL`, `L_F_Paw`, `LF paw`, `paw1LH_top`. Numbers that differ within a pair are passed over where no
    pair has equal ones.
    """
    pairs: dict[int, int] = {}
    for find in (_side_words, _first_or_last_letters):
        for with_numbers in (True, False):
            free = [index for index in range(len(names)) if index not in {*pairs, *pairs.values()}]
            sides: dict[str, dict[tuple[str, ...], list[int]]] = {"left": {}, "right": {}}
            for index in free:
                for side, rest in find(names[index]):
                    key = tuple(token for token in rest if with_numbers or not token.isdigit())
                    sides[side].setdefault(key, []).append(index)
            for key, left in sides["left"].items():
                right = sides["right"].get(key, [])
                taken = {*pairs, *pairs.values()}
                if len(left) == len(right) == 1 and not taken & {*left, *right}:
                    pairs[left[0]] = right[0]
    return tuple(sorted(pairs.items()))


def unpaired_sides(names: Sequence[str], pairs: Sequence[tuple[int, int]]) -> list[str]:
    """Return the names that speak of a side and have no partner on the other."""
    paired = {index for pair in pairs for index in pair}
    return [name for index, name in enumerate(names) if index not in paired and any(_side_words(name))]


def _side_words(name: str) -> Iterator[Reading]:
    """Yield each way to read a side in a name, where it stands for itself."""
    tokens = _TOKENS.findall(name)
    for position, token in enumerate(tokens):
        word = token.lower()
        found = [(_SIDES[word], GAP)] if word in _SIDES else []
        if len(token) == 2 and (token.isupper() or len(tokens) > 1):
            if word[0] in "lr" and word[1] in _WHERE:
                found.append((_SIDES[word[0]], GAP + word[1]))
            if word[1] in "lr" and word[0] in _WHERE:
                found.append((_SIDES[word[1]], word[0] + GAP))
        for side in ("left", "right"):
            if word != side and word.startswith(side):
                found.append((side, GAP + word.removeprefix(side)))
            if word != side and word.endswith(side):
                found.append((side, word.removesuffix(side) + GAP))
        yield from ((side, _with(tokens, position, rest)) for side, rest in found)


def _first_or_last_letters(name: str) -> Iterator[Reading]:
    """Yield each way to read a side in a word's first or last letter, as in `lankle`; a guess without a partner."""
    tokens = _TOKENS.findall(name)
    for position, token in enumerate(tokens):
        word = token.lower()
        if len(word) > 2 and word[0] in "lr":
            yield _SIDES[word[0]], _with(tokens, position, GAP + word[1:])
        if len(word) > 2 and word[-1] in "lr":
            yield _SIDES[word[-1]], _with(tokens, position, word[:-1] + GAP)


def _with(tokens: Sequence[str], position: int, changed: str) -> tuple[str, ...]:
    """Return the tokens in small letters, one of them changed."""
    return tuple(changed if index == position else token.lower() for index, token in enumerate(tokens))
