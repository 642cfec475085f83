"""Problems, their worked solutions and a checker: the demo model's training data.

`sample` draws a problem of one skill. A hash of the problem's operands, words or question decides if the problem is held out.
So training and evaluation never share a problem, with any seed.
"""
import re
from dataclasses import dataclass
from zlib import crc32

import chains
import vocabulary as v

SKILLS = ("addition", "subtraction", "multiplication", "comparison", "sorting", "letters", "word problems", "fallback")
HELD_OUT_ONE_IN = 16
DIGITS = 5  # of the numbers added, subtracted and compared

FALLBACK_THOUGHT = "no skill of mine fits"
FALLBACK = ("I am a small demo model. I can add, subtract and multiply numbers, compare and sort them, "
            "count letters in a word, and solve short word problems.")


@dataclass(frozen=True)
class Problem:
    skill: str
    question: str
    thought: str
    answer: str
    expected: str
    key: str

    @property
    def held_out(self):
        return crc32(f"{self.skill}|{self.key}".encode()) % HELD_OUT_ONE_IN == 0


def make(skill, key, question, lines, answer, expected):
    return Problem(skill, question, "".join(line + "\n" for line in lines), answer, str(expected), str(key))


def vary(rng, text):
    """Varies the question as users type it: in lower case, or without the mark at the end."""
    if rng.random() < 0.12:
        text = text[0].lower() + text[1:]
    if rng.random() < 0.15 and text[-1] in "?.":
        text = text[:-1]
    return text


def number(rng, level, digits):
    """A number of up to `digits` digits; all lengths are about equally likely. While `level` is low, only short numbers."""
    most = max(1, min(digits, round(1 + level * digits)))
    length = rng.randint(1, most)
    return rng.randrange(10 ** (length - 1) if length > 1 else 0, 10 ** length)


def spaced(rng, a, sign, b):
    return f"{a} {sign} {b}" if rng.random() < 0.6 else f"{a}{sign}{b}"


def arithmetic(rng, skill, sign, forms, a, b, shown=None):
    lines, result = chains.OPERATIONS[sign](a, b)
    expression = spaced(rng, a, shown or sign, b)
    if rng.random() < 0.6:
        question = rng.choice(v.EXPRESSION_FORMS).format(expression)
    else:
        question = rng.choice(forms).format(a=a, b=b)
    return make(skill, f"{a}{sign}{b}", vary(rng, question), lines, f"The answer is {result}.", result)


def addition(rng, level):
    return arithmetic(rng, "addition", "+", v.ADD_FORMS, number(rng, level, DIGITS), number(rng, level, DIGITS))


def subtraction(rng, level):
    a, b = number(rng, level, DIGITS), number(rng, level, DIGITS)
    if rng.random() < 0.5:
        a, b = max(a, b), min(a, b)
    return arithmetic(rng, "subtraction", "-", v.SUBTRACT_FORMS, a, b)


def multiplication(rng, level):
    a, b = rng.choice(((4, 1), (2, 2), (3, 2), (3, 2), (3, 1))) if level > 0.4 else (3, 1)
    a, b = number(rng, level, a), number(rng, level, b)
    if rng.random() < 0.4:
        a, b = b, a
    return arithmetic(rng, "multiplication", "*", v.MULTIPLY_FORMS, a, b, rng.choice("***xx×"))


def comparison(rng, level):
    a = number(rng, level, DIGITS)
    draw = rng.random()
    if draw < 0.4:  # difficult pairs: the same length and perhaps the same first digits
        length = len(str(a))
        keep = rng.randint(0, length - 1)
        b = int(str(a)[:keep] + "".join(rng.choice("0123456789") for _ in range(length - keep)))
    elif draw < 0.43:
        b = a
    else:
        b = number(rng, level, DIGITS)
    key = f"{a},{b}"
    larger = rng.random() < 0.5
    asked, word = rng.choice(v.LARGER if larger else v.SMALLER), "larger" if larger else "smaller"
    yes_no = rng.random() < 0.25
    lines = [f" is {word}" if yes_no else f" {word}", f"{a},{b}", *chains.compare(a, b)]
    if yes_no:
        truth = a > b if larger else a < b
        question = rng.choice(v.YES_NO_FORMS).format(a=a, b=b, word=asked)
        said = "Yes" if truth else "No"
        answer = f"{said}, {a} is {'' if truth else 'not '}{word} than {b}."
        return make("comparison", key, vary(rng, question), lines, answer, said)
    question = rng.choice(v.WHICH_FORMS).format(a=a, b=b, word=asked)
    if a == b:
        return make("comparison", key, vary(rng, question), lines, "The numbers are equal.", "equal")
    winner = max(a, b) if larger else min(a, b)
    return make("comparison", key, vary(rng, question), lines, f"The {word} number is {winner}.", winner)


def sorting(rng, level):
    numbers = [number(rng, level, 3) for _ in range(rng.randint(2, 5 if level > 0.4 else 3))]
    if rng.random() < 0.4:
        numbers = [rng.randint(10, 99) for _ in numbers]
    descending = rng.random() < 0.35
    lines, done = chains.sort(numbers, descending)
    listed = ", ".join(map(str, numbers))
    if rng.random() < 0.25:
        listed = ", ".join(map(str, numbers[:-1])) + f" and {numbers[-1]}"
    question = rng.choice(v.SORT_DOWN_FORMS if descending else v.SORT_UP_FORMS).format(listed)
    result = ", ".join(map(str, done))
    return make("sorting", numbers, vary(rng, question), lines, f"The sorted list is {result}.", result)


def some_word(rng, level):
    draw = rng.random()
    longest = 4 + round(level * 9)
    if draw < 0.35:
        word = rng.choice(v.WORDS)
    elif draw < 0.75:
        word = "".join(rng.choice(v.SYLLABLES) for _ in range(rng.randint(1, 5)))
    elif draw < 0.85:
        word = rng.choice(v.PREFIXES)[:rng.randint(2, 5)] + "".join(rng.choice(v.SYLLABLES) for _ in range(2))
    else:
        letters = rng.sample(v.ALPHABET, rng.randint(3, 10))
        word = "".join(rng.choice(letters) for _ in range(rng.randint(3, 13)))
    return word[:longest]


def letters(rng, level):
    word = some_word(rng, level)
    letter = rng.choice(word) if rng.random() < 0.85 else rng.choice(v.ALPHABET)
    lines, seen = chains.count(letter, word)
    shown = word.capitalize() if rng.random() < 0.06 else word
    quote = rng.choice(('"{}"', "'{}'", "{}", "{}", "{}", "{}"))
    asked = rng.choice(v.LETTER_NAMES).format(letter.upper() if rng.random() < 0.06 else letter)
    question = rng.choice(v.COUNT_FORMS).format(letter=asked, word=quote.format(shown))
    answer = f"The letter {letter} appears {seen} time{'' if seen == 1 else 's'}."
    return make("letters", word, vary(rng, question), lines, answer, seen)


def word_problem(rng, level):
    name, other = rng.sample(v.NAMES, 2)
    hard = 0.2 + 0.8 * level
    n = [rng.randint(2, max(9, round(99 * hard))) for _ in range(3)]
    n.sort(reverse=True)
    small = [rng.randint(2, 9), rng.randint(2, max(5, round(20 * hard)))]
    rng.shuffle(small)
    extra = rng.randint(1, small[0] * small[1])
    text, steps = rng.choice(v.STORIES if level > 0.3 else v.SHORT_STORIES)
    values = dict(a=n[0], b=n[1] if n[0] >= n[1] + n[2] else max(1, n[0] // 2), c=min(n[2], max(1, n[0] // 3)),
                  p=small[0], q=small[1], r=extra)
    first, *rest = (values[s] for s in steps[::2])
    lines, result = chains.evaluate(first, *zip(steps[1::2], rest))
    question = text.format(name=name, other=other, items=rng.choice(v.ITEMS), boxes=rng.choice(v.BOXES), **values)
    return make("word problems", (text, first, *rest), question, lines, f"The answer is {result}.", result)


def fallback(rng, level):
    question = v.other_question(rng)
    return make("fallback", question, vary(rng, question), [FALLBACK_THOUGHT], FALLBACK, "fallback")


MAKERS = dict(zip(SKILLS, (
    addition, subtraction, multiplication, comparison, sorting, letters, word_problem, fallback)))


def sample(rng, skill, level=1.0, held_out=False):
    while True:
        problem = MAKERS[skill](rng, level)
        if problem.held_out == held_out:
            return problem


def check(problem, answer_text):
    """True if the text after the thought has the expected answer."""
    text = answer_text.rsplit("</think>", 1)[-1].strip()
    found = re.findall(r"-?\d+", text)
    if problem.expected == "fallback":
        return text.startswith("I am a small demo model")
    if problem.expected in ("Yes", "No"):
        return re.match(r"\w+", text) is not None and re.match(r"\w+", text).group() == problem.expected
    if problem.expected == "equal":
        return "equal" in text
    if problem.skill == "sorting":
        return found == re.findall(r"-?\d+", problem.expected)
    return found == [problem.expected]
