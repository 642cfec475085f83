"""Makes strings that are difficult to tokenize, from a seed."""

import random
from collections.abc import Iterator

# The first and last code points of each script.
SCRIPTS = {
    "latin": (0x41, 0x7A),
    "latin-1": (0xA0, 0xFF),
    "latin extended": (0x100, 0x24F),
    "greek": (0x370, 0x3FF),
    "cyrillic": (0x400, 0x52F),
    "armenian": (0x530, 0x58F),
    "hebrew": (0x590, 0x5FF),
    "arabic": (0x600, 0x6FF),
    "devanagari": (0x900, 0x97F),
    "bengali": (0x980, 0x9FF),
    "tamil": (0xB80, 0xBFF),
    "thai": (0xE00, 0xE7F),
    "tibetan": (0xF00, 0xFFF),
    "georgian": (0x10A0, 0x10FF),
    "hangul jamo": (0x1100, 0x11FF),
    "ethiopic": (0x1200, 0x137F),
    "mongolian": (0x1800, 0x18AF),
    "punctuation": (0x2000, 0x206F),
    "super and subscripts": (0x2070, 0x209F),
    "symbols": (0x2100, 0x27BF),
    "kana": (0x3000, 0x30FF),
    "han": (0x4E00, 0x9FFF),
    "hangul": (0xAC00, 0xD7A3),
    "presentation forms": (0xFB00, 0xFDFF),
    "full width": (0xFF00, 0xFFEF),
    "egyptian": (0x13000, 0x143FF),
    "mathematical": (0x1D400, 0x1D7FF),
    "emoji": (0x1F300, 0x1FAFF),
    "han extensions": (0x20000, 0x323AF),
    "tags": (0xE0000, 0xE01EF),
}
SPACES = [" "] * 8 + list("\t\n\r\v\f\x1c\x85\xa0\u1680\u180e\u2000\u2003\u200a\u200b\u2028\u2029\u202f")
SPACES += list("\u205f\u3000\ufeff")
DIGITS = "0123456789٠١٢३४५৬৭零一二三²³¹½¾①②ⅣⅫ𝟎𝟗𑁦௧௰〇"
MARKS = "\u0300\u0301\u0308\u0327\u0338\u0489\u064b\u0652"
MARKS += "\u093c\u094d\u0e31\u0e49\u20dd\u20e3\u302a\ufe0f\ufe20\U000e0100"
EMOJI = ["👨‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪🇫🇷", "❤️‍🔥",
         "1️⃣", "🧑🏿‍🚀", "🫠", "🪿", "☕️", "㊙️", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "\u200d", "\ufe0f"]
CODE = [
    "def f(x: int) -> list[str]:\n    return [str(i) for i in range(x)]\n",
    'std::vector<std::pair<int, T>>& a = *reinterpret_cast<decltype(a)*>(p[i++]); // ok?\n\n',
    '{"key": [1, 2.5e-10, null], "nested": {"a\\n": "\\u00e9"}}',
    "<div class=\"a-b\" onclick='go(1)'>&nbsp;&lt;</div>\r\n",
    "SELECT * FROM t WHERE a_b >= 10 AND c <> 'it''s';\t--end",
    "\\frac{\\partial^2 u}{\\partial x^2} = \\sum_{i=0}^{n} \\alpha_i $x$ \\\\",
    "for(;;){if(!x)break;}\r\n\r\n\t\t\t}\n",
    "git commit -m \"fix: don't\" && ./a.out | grep -E '^[a-z]+$' > /dev/null 2>&1",
    "λx→x∘f ⊕ ∀ε>0 ∃δ: |x−a|<δ ⇒ |f(x)−L|<ε",
    "#include <stdio.h>\n#define MAX(a,b) ((a)>(b)?(a):(b))\n",
]
SENTENCES = [
    "The quick brown fox jumps over the lazy dog.",
    "I'm sure you've heard they'll come; she'd say it's fine, WE'RE not, I'LL see, don'T.",
    "it'ſ a long s, and 'K is kelvin, 'ſT 'Ve 'RE 'll'll",
    "Der Fluß fließt träge; Übergrößenträger heißen außergewöhnlich.",
    "C'est l'été où l'œuvre naît, n'est-ce pas ? « Oui ! »",
    "¿Qué pasó ayer? ¡Mañana será otro día!",
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "深度求索推理模型能够一步一步地思考，然后给出答案。2024年12月26日",
    "吾輩は猫である。名前はまだ無い。カタカナﾊﾝｶｸも。",
    "모든 사람은 태어날 때부터 자유롭고 평등하다.",
    "كل الناس يولدون أحرارًا ومتساوين في الكرامة والحقوق.",
    "כל בני האדם נולדו בני חורין ושווים בערכם.",
    "सभी मनुष्य जन्म से स्वतंत्र हैं।",
    "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกัน",
    "Tất cả mọi người sinh ra đều được tự do.",
    "3.14159265358979, 1,000,000.00 and 0x1F4A9 -- 12345678901234567890th!",
    "https://example.org/a/b?c=d&e=%20f#g user.name+tag@example.co.uk",
]


def character(rng: random.Random, low: int = 0, high: int = 0x10FFFF) -> str:
    while True:
        code_point = rng.randint(low, high)
        if not 0xD800 <= code_point <= 0xDFFF:
            return chr(code_point)


def script_run(rng: random.Random) -> str:
    low, high = rng.choice(list(SCRIPTS.values()))
    return "".join(character(rng, low, high) for _ in range(rng.randint(1, 12)))


def marked_run(rng: random.Random) -> str:
    text = ""
    for _ in range(rng.randint(1, 6)):
        text += rng.choice("aeE中ก 1.") + "".join(rng.choice(MARKS) for _ in range(rng.randint(0, 4)))
    return text


def words(rng: random.Random) -> str:
    parts = rng.choice(SENTENCES).split(" ")
    start = rng.randrange(len(parts))
    return " ".join(parts[start : start + rng.randint(1, 8)])


def code(rng: random.Random) -> str:
    snippet = rng.choice(CODE)
    start = rng.randrange(len(snippet))
    return snippet[start : start + rng.randint(1, 60)]


def any_characters(rng: random.Random) -> str:
    return "".join(character(rng) for _ in range(rng.randint(1, 8)))


def special(rng: random.Random, added: list[str]) -> str:
    """An added token: whole, cut, doubled, or overlapping another added token."""
    token = rng.choice(added)
    cut = rng.randrange(len(token) + 1)
    return rng.choice([token, token, token, token[:cut], token[cut:], token[:cut] + token,
                       token + rng.choice(added)])


def piece(rng: random.Random, added: list[str]) -> str:
    kind = rng.random()
    if kind < 0.22:
        return words(rng)
    if kind < 0.40:
        return script_run(rng)
    if kind < 0.52:
        return code(rng)
    if kind < 0.62:
        return "".join(rng.choice(SPACES) for _ in range(rng.randint(1, 6)))
    if kind < 0.70:
        return "".join(rng.choice(DIGITS) for _ in range(rng.randint(1, 9)))
    if kind < 0.76:
        return "".join(rng.choice(EMOJI) for _ in range(rng.randint(1, 4)))
    if kind < 0.82:
        return marked_run(rng)
    if kind < 0.86:
        return "".join(chr(rng.randrange(0x20)) for _ in range(rng.randint(1, 5))) + "\x7f"
    if kind < 0.92:
        return any_characters(rng)
    return special(rng, added)


def long_run(rng: random.Random) -> str:
    """One unit, such as a letter or a space, repeated unusually often."""
    unit = rng.choice(["a", "A", "é", "中", " ", "\n", " \n", "ab", "0", "!", "-", "\u0301", "👍", "the",
                       "xyz ", "\u2028"])
    return unit * rng.randint(500, 4000) + rng.choice(["", "a", " ", "\n", "."])


def strings(count: int, seed: int, added: list[str]) -> Iterator[str]:
    rng = random.Random(seed)
    for index in range(count):
        if index % 1000 == 999:
            yield long_run(rng)
        else:
            yield "".join(piece(rng, added) for _ in range(rng.randint(1, 6)))
