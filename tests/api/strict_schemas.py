"""JSON schemas of the subset that OpenAI's strict mode allows: all properties required, no others allowed."""
import random


def record(**properties):
    """An object with these properties and no others."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def text(**more):
    return {"type": "string", **more}


COLOUR = {"type": "string", "enum": ["red", "green", "deep blue"]}
CHAIN = {"$defs": {"link": record(value={"type": "boolean"}, next={"anyOf": [{"$ref": "#/$defs/link"}, {"type": "null"}]})},
         "$ref": "#/$defs/link"}
SHAPE = {"anyOf": [record(kind={"const": "circle"}, radius={"type": "number", "minimum": 0, "maximum": 10}),
                   record(kind={"const": "box"}, sides={"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 99},
                                                        "minItems": 2, "maxItems": 3})]}

WRITTEN = [
    record(verdict={"type": "boolean"}),
    record(colour=COLOUR, note=text(maxLength=8)),
    record(name=text(minLength=2, maxLength=5), age={"type": "integer", "minimum": 0, "maximum": 150}),
    record(code=text(pattern="^[A-Z]{2}-[0-9]{3}$"), nothing={"type": "null"}),
    record(mail=text(format="email")),
    record(at=text(format="ipv4"), id=text(format="uuid")),
    record(moment=text(format="date-time")),
    record(day=text(format="date"), hour=text(format="time")),
    record(host=text(format="hostname"), wait=text(format="duration")),
    record(six=text(format="ipv6")),
    record(low={"type": "integer", "exclusiveMinimum": -5, "exclusiveMaximum": 5}, even={"type": "integer", "multipleOf": 2}),
    record(share={"type": "number", "minimum": 0, "exclusiveMaximum": 1}, below={"type": "number", "maximum": -0.5}),
    record(maybe={"type": ["string", "null"], "maxLength": 4}, count={"type": ["integer", "null"], "minimum": 1, "maximum": 9}),
    record(tags={"type": "array", "items": COLOUR, "maxItems": 3}),
    record(pairs={"type": "array", "items": record(a={"type": "integer", "minimum": 0, "maximum": 9}, b={"type": "boolean"}),
                  "minItems": 1, "maxItems": 2}),
    record(outer=record(inner=record(deep=record(end={"enum": [1, "one", True, None]})))),
    record(**{"a key": {"const": "x y"}, "sch\u00f6n": {"enum": ["ja", "nein"]}, "quo\"te": {"type": "boolean"}}),
    record(),
    record(shape=SHAPE),
    record(either={"anyOf": [text(maxLength=3), {"type": "integer", "minimum": 0, "maximum": 9}, {"type": "null"}]}),
    CHAIN,
    record(chain={"anyOf": [{"$ref": "#"}, {"type": "null"}]}, last={"type": "boolean"}),
    {"$defs": {"colour": COLOUR}, **record(first={"$ref": "#/$defs/colour"}, second={"$ref": "#/$defs/colour"})},
    {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Sum", "description": "Of two numbers",
     **record(sum={"type": "integer", "minimum": -999, "maximum": 999, "title": "Sum", "description": "The sum"})},
]


def random_schema(seed):
    """A schema of random parts, at most three levels deep, whose answers are short. Every part has an end that is not far."""
    draw = random.Random(seed)

    def number():
        low = draw.randint(-1000, 1000)
        high = low + draw.choice([1, 7, 40, 1999])
        bounds = {draw.choice(["minimum", "exclusiveMinimum"]): low, "maximum": high}
        return {"type": draw.choice(["integer", "integer", "number"]), **bounds}

    def leaf():
        least = draw.randint(0, 3)
        return draw.choice([
            number,
            lambda: text(minLength=least, maxLength=least + draw.randint(0, 5)),
            lambda: text(pattern=draw.choice(["^[a-f]{1,4}$", "^(on|off)$", "^\\d{4}-\\d{2}$", "^x?[0-9]{0,3}y$"])),
            lambda: {"type": "boolean"},
            lambda: {"enum": draw.sample(["a", "bc", "d e", 1, -2, 3.5, True, None, "\u00e9", "\"", "\\"], draw.randint(1, 4))},
            lambda: {"type": ["boolean", "null"]},
            lambda: {**number(), "type": ["integer", "null"]},
        ])()

    def part(depth):
        kind = draw.random()
        if depth == 0 or kind < 0.5:
            return leaf()
        if kind < 0.7:
            least = draw.randint(0, 2)
            return {"type": "array", "items": part(depth - 1), "minItems": least, "maxItems": least + draw.randint(0, 2)}
        if kind < 0.8:
            return {"anyOf": [part(depth - 1) for _ in range(draw.randint(1, 3))]}
        return members(depth - 1)

    def members(depth):
        names = draw.sample(["a", "b1", "c_d", "e-f", "G", "h i", "\u00fc", "value", "items", "type"], draw.randint(0, 4))
        return record(**{name: part(depth) for name in names})

    return members(3)
