"""Chains of thought: every function returns the chain's lines and, if the chain computes a number, the number.

Each step depends on few tokens. The first lines write each digit with a letter for its place (a for ones, b for tens,
...), so that a later step finds a digit by its letter. Each line ends with the result so far, so that the last line
only copies the result.
"""

PLACES = "abcdefghij"


def places(n, width):
    """27 -> ' b2 a7'"""
    return "".join(f" {PLACES[width - 1 - i]}{digit}" for i, digit in enumerate(str(n).zfill(width)))


def finish(carry, digits):
    return int(f"{carry}{digits}")


def add(a, b):
    width = max(len(str(a)), len(str(b)))
    lines = [f"{a}+{b}", places(a, width), places(b, width)]
    carry, digits = 0, ""
    for place in range(width):
        x, y = (n // 10 ** place % 10 for n in (a, b))
        total = x + y + carry
        digits = f"{total % 10}{digits}"
        lines.append(f" {PLACES[place]} {x}+{y}+{carry}={total:02} {digits}")
        carry = total // 10
    lines.append(f"={finish(carry, digits)}")
    return lines, a + b


def compare(a, b):
    """Compares digit by digit from the left until the first difference."""
    width = max(len(str(a)), len(str(b)))
    lines = [places(a, width), places(b, width)]
    for place, x, y in zip(PLACES[width - 1::-1], str(a).zfill(width), str(b).zfill(width)):
        lines.append(f" {place} {x}{'<' if x < y else '>' if x > y else '='}{y}")
        if x != y:
            break
    return lines


def subtract(a, b):
    """Subtracts the smaller number from the larger one, then adds the sign. 2-3-0=9-10: a digit that borrows."""
    lines = [f"{a}-{b}", *compare(a, b)]
    big, small = a, b
    if a < b:
        big, small = b, a
        width = len(str(big))
        lines += [f"{big}-{small}", places(big, width), places(small, width)]
    borrow, digits = 0, ""
    for place in range(max(len(str(a)), len(str(b)))):
        x, y = (n // 10 ** place % 10 for n in (big, small))
        taken = int(x < y + borrow)
        digits = f"{10 * taken + x - y - borrow}{digits}"
        lines.append(f" {PLACES[place]} {x}-{y}-{borrow}={digits[0]}{'-10' * taken} {digits}")
        borrow = taken
    lines.append(f"={a - b}")
    return lines, a - b


def multiply_digit(a, digit):
    lines, carry, digits = [], 0, ""
    for place, x in enumerate(map(int, reversed(str(a)))):
        product = x * digit
        total = product + carry
        digits = f"{total % 10}{digits}"
        lines.append(f" {PLACES[place]} {x}*{digit}={product:02}+{carry}={total:02} {digits}")
        carry = total // 10
    lines.append(f"={finish(carry, digits)}")
    return lines, a * digit


def multiply(a, b):
    """Multiplies the longer number by each digit of the shorter number, which has one or two digits."""
    lines = [f"{a}*{b}"]
    if len(str(b)) > len(str(a)):
        a, b = b, a
        lines.append(f"{a}*{b}")
    lines.append(places(a, len(str(a))))
    if b < 10:
        more, result = multiply_digit(a, b)
        return lines + more, result
    low, ones = multiply_digit(a, b % 10)
    high, tens = multiply_digit(a, b // 10)
    total, result = add(ones, tens * 10)
    return [*lines, f"*{b % 10}", *low, f"*{b // 10}", *high, *total], result


OPERATIONS = {"+": add, "-": subtract, "*": multiply}


def evaluate(first, *steps):
    """evaluate(6, ("*", 4), ("-", 5)) computes 6*4-5 from left to right."""
    lines = ["".join([str(first), *(f"{sign}{n}" for sign, n in steps)])] if len(steps) > 1 else []
    value = first
    for sign, n in steps:
        more, value = OPERATIONS[sign](value, n)
        lines += more
    return lines, value


def sort(numbers, descending):
    """Insertion sort: each line inserts the next number. A letter gives each number's place in the question."""
    items = [(f"{n:03}", place) for n, place in zip(numbers, PLACES)]
    lines = ["down" if descending else "up", "".join(f" {place}{n}" for n, place in items)]
    done = []
    for n, place in items:
        done = sorted([*done, (n, place)], key=lambda item: item[0], reverse=descending)
        lines.append(f" {place}{n}:{' '.join(m + p for m, p in done)}")
    return lines, [int(n) for n, _ in done]


def count(letter, word):
    """Spells the word and writes the count so far after every letter."""
    steps, seen = [], 0
    for other in word:
        seen += other == letter
        steps.append(f"{other}{seen}")
    return [f"{letter}:{','.join(steps)}", f"={seen}"], seen
