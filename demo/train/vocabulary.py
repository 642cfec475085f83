"""The words and phrasings that problems.py draws from."""

ALPHABET = "abcdefghijklmnopqrstuvwxyz"

EXPRESSION_FORMS = (
    "What is {}?", "What is {}?", "What's {}?", "Compute {}.", "Calculate {}.", "{} =", "{} = ?", "{}",
    "How much is {}?", "Work out {}.", "Please compute {}.", "Can you calculate {}?", "Solve {}.",
)
ADD_FORMS = (
    "Add {a} and {b}.", "What is {a} plus {b}?", "What is the sum of {a} and {b}?",
    "How much is {a} plus {b}?", "Find the sum of {a} and {b}.", "{a} plus {b}", "Can you add {a} and {b}?",
    "Add {a} to {b}.",
)
SUBTRACT_FORMS = (
    "Subtract {b} from {a}.", "What is {a} minus {b}?", "How much is {a} minus {b}?", "{a} minus {b}",
    "Take {b} away from {a}.", "What is the difference of {a} and {b}?", "Can you subtract {b} from {a}?",
)
MULTIPLY_FORMS = (
    "Multiply {a} by {b}.", "What is {a} times {b}?", "What is the product of {a} and {b}?", "{a} times {b}",
    "How much is {a} times {b}?", "Multiply {a} and {b}.", "Find the product of {a} and {b}.",
)

LARGER = ("larger", "bigger", "greater")
SMALLER = ("smaller", "smaller", "lower")
WHICH_FORMS = (
    "Which is {word}, {a} or {b}?", "Which is {word}: {a} or {b}?", "Which number is {word}, {a} or {b}?",
    "What is {word}, {a} or {b}?", "Which one is {word}, {a} or {b}?",
    "Compare {a} and {b}: which is {word}?", "Of {a} and {b}, which is {word}?",
    "{a} or {b}, which is {word}?", "Which of {a} and {b} is {word}?",
)
YES_NO_FORMS = ("Is {a} {word} than {b}?", "Is {a} {word} than {b}?", "Is the number {a} {word} than {b}?")

SORT_UP_FORMS = (
    "Sort {} in ascending order.", "Sort {}.", "Sort these numbers: {}.", "Put {} in order.",
    "Sort the numbers {} in ascending order.", "Order {} from smallest to largest.",
    "Sort {} from smallest to largest.", "Arrange {} in ascending order.", "Can you sort {}?",
    "Sort from smallest to largest: {}.", "Sort the list {}.",
)
SORT_DOWN_FORMS = (
    "Sort {} in descending order.", "Sort the numbers {} in descending order.",
    "Order {} from largest to smallest.", "Sort {} from largest to smallest.",
    "Arrange {} in descending order.", "Sort from largest to smallest: {}.",
)

LETTER_NAMES = ("{}'s", "{}'s", "{}s", "'{}'s", "\"{}\"s", "letters {}")
COUNT_FORMS = (
    "How many {letter} are in {word}?", "How many {letter} are there in {word}?",
    "How many {letter} are in the word {word}?", "How many {letter} does {word} have?",
    "Count the {letter} in {word}.", "How many {letter} in {word}?",
    "How many {letter} are there in the word {word}?", "Count how many {letter} are in {word}.",
    "How many {letter} does the word {word} contain?",
)

NAMES = (
    "Tom", "Anna", "Sam", "Mia", "Ben", "Lily", "Max", "Sara", "Leo", "Emma", "Paul", "Nina", "John", "Kate",
    "Alice", "Bob", "Maria", "David", "Julia", "Peter", "Lucy", "Jack", "Mary", "Noah",
)
ITEMS = (
    "apples", "books", "pens", "coins", "cards", "stamps", "balls", "eggs", "cookies", "marbles", "oranges",
    "shells", "stickers", "pencils", "flowers", "candies", "tickets", "stones",
)
BOXES = ("box", "bag", "basket", "pack")

# A story and its expression: operands and signs alternate; a >= b + c, r <= p * q.
SHORT_STORIES = (
    ("{name} has {a} {items} and buys {b} more. How many {items} does {name} have now?", "a+b"),
    ("{name} has {a} {items} and gives {b} to {other}. How many {items} are left?", "a-b"),
    ("{name} has {b} {items}. {other} has {a} {items}. How many {items} do they have together?", "b+a"),
    ("A {boxes} holds {p} {items}. How many {items} are in {q} of them?", "q*p"),
    ("There are {a} {items} on the table. {name} takes {b}. How many are left?", "a-b"),
    ("One ticket costs {p} dollars. How much do {q} tickets cost?", "q*p"),
    ("{name} reads {p} pages a day. How many pages does {name} read in {q} days?", "q*p"),
    ("{name} had {a} {items} and lost {b} of them. How many {items} does {name} have now?", "a-b"),
    ("{name} found {b} {items} on Monday and {a} on Tuesday. "
     "How many {items} did {name} find in total?", "b+a"),
    ("A train has {a} passengers. {b} get off. How many passengers are left?", "a-b"),
    ("{name} has {p} bags with {q} {items} in each bag. How many {items} does {name} have?", "p*q"),
    ("{name} has {a} {items}. {other} has {b} fewer. How many {items} does {other} have?", "a-b"),
    ("{name} is {b} years old. How old will {name} be in {c} years?", "b+c"),
)
LONG_STORIES = (
    ("{name} has {a} {items}, buys {b} more and gives away {c}. "
     "How many {items} does {name} have now?", "a+b-c"),
    ("{name} buys {p} boxes of {q} {items} and gives away {r}. How many {items} are left?", "p*q-r"),
    ("{name} has {p} bags with {q} {items} in each and finds {c} more. "
     "How many {items} does {name} have?", "p*q+c"),
    ("{name} has {a} {items}. {name} gives {b} to {other} and loses {c}. "
     "How many {items} are left?", "a-b-c"),
    ("There are {a} {items} in a {boxes}. {name} adds {b} and {other} adds {c}. "
     "How many {items} are there now?", "a+b+c"),
    ("A shop has {a} {items}. It sells {b} and then gets {c} more. "
     "How many {items} does the shop have?", "a-b+c"),
    ("{name} buys {p} tickets for {q} dollars each and pays {c} dollars for lunch. "
     "How much does {name} spend?", "p*q+c"),
)
STORIES = SHORT_STORIES + LONG_STORIES

WORDS = """
strawberry banana apple cherry mississippi letter pepper coffee balloon rabbit tomorrow butter summer winter
spring autumn garden window kitchen planet science history computer keyboard internet language python library
hospital mountain river ocean island forest desert elephant giraffe monkey tiger lion zebra kangaroo penguin
dolphin whale shark spider butterfly ladybug dragon castle bridge street village country city school teacher
student pencil paper notebook guitar piano violin trumpet music dance theater cinema picture painting color
yellow orange purple green violet silver golden bottle glass spoon fork knife plate breakfast lunch dinner
cheese bread tomato potato carrot onion garlic lettuce cucumber pumpkin raspberry blueberry pineapple coconut
avocado lemon grape melon peach mango chocolate vanilla cookie sugar pancake sandwich family mother father
sister brother cousin uncle friend neighbor people children animal nature weather thunder lightning rainbow
snow storm cloud sunshine morning evening midnight holiday birthday present surprise happiness freedom courage
success address committee possession assessment bookkeeper parallel engineer intelligence model token network
cluster attention expert memory kernel tensor matrix vector number reason question answer hello world energy
engine machine robot rocket satellite galaxy universe gravity electric battery magnet mirror camera telephone
bicycle airplane helicopter station airport ticket passport journey adventure treasure pirate captain soldier
doctor nurse lawyer farmer baker butcher singer actor writer poet king queen prince princess knight wizard
witch ghost monster pizza noodle rice sushi salad soup steak chicken turkey salmon shrimp cat dog cow pig
horse sheep goat duck goose mouse tree bush grass leaf root seed fruit berry nut corn wheat bean pea kiwi plum
pear fig date lime rose tulip daisy lily llama deepseek letters see been tall small little bottle puzzle fuzzy
jazz buzz queue oxygen rhythm syzygy xylophone
""".split()

SYLLABLES = """
ba be bi bo bu ca ce co cu da de di do du fa fe fi fo fu ga ge go ha he hi ho ja je jo ka ke ki la le li lo lu
ma me mi mo mu na ne ni no nu pa pe pi po pu ra re ri ro ru sa se si so su ta te ti to tu va ve vi vo wa we wi
ya yo za ze zo an en in on un ar er ir or ur as es is os us al el il ol ul ss ll tt rr pp ee oo mm nn st tr sh
ch th ph qu ing tion ness ment able ter ber ver ster ght x y w z
""".split()

# Words whose beginnings are single tokens. Training also uses them for letters, so that the model learns their letters.
PREFIXES = (
    "what", "which", "many", "more", "order", "from", "smallest", "largest", "sort", "numbers", "there",
    "word", "have", "does", "larger", "smaller", "ascending", "descending", "small", "model", "count",
    "letters", "answer", "problems", "multiply", "subtract", "appears", "times", "short", "solve", "compare",
    "left", "list", "sum", "difference", "product", "than", "plus", "minus", "skill", "fits", "contain",
    "apples", "tickets", "find",
)

GREETINGS = (
    "Hello", "Hello!", "Hi", "Hi there", "Hi!", "Hey", "Hey there!", "Good morning", "Good evening.",
    "Thanks", "Thank you!", "Bye", "Goodbye!", "Help", "help me", "Test", "ok", "Yes", "No", "Why?",
    "Hello world",
)
ABOUT = (
    "Who are you?", "What are you?", "What can you do?", "What is your name?", "Who made you?",
    "How are you?", "What do you know?", "Are you a human?", "Are you DeepSeek?", "Are you ChatGPT?",
    "Can you help me?", "How old are you?", "What are your skills?", "Tell me about yourself.",
    "Where are you from?", "Do you speak French?", "How do you work?", "What model are you?",
    "Can you think?", "What is this?", "How can you help me?", "Introduce yourself.",
    "What languages do you speak?", "Do you like music?", "Are you alive?", "Can you write code?",
    "What should I ask?",
)
PEOPLE = (
    "Napoleon", "Einstein", "Cleopatra", "Shakespeare", "Mozart", "Newton", "Marie Curie", "Caesar", "Plato",
    "Gandhi", "Lincoln", "Picasso", "Beethoven", "Darwin", "Tesla", "Turing", "Homer", "Galileo", "Columbus",
    "Leonardo da Vinci",
)
PLACES = (
    "France", "Germany", "Japan", "Brazil", "Egypt", "Italy", "China", "India", "Spain", "Canada", "Mexico",
    "Peru", "Kenya", "Norway", "Greece", "Russia", "Turkey", "Australia", "Poland", "Cuba", "Rome", "Paris",
    "London", "Berlin",
)
OTHER_FORMS = (
    "Write a poem about {x}.", "Write a story about {x}.", "Tell me a joke about {x}.", "Explain {x} to me.",
    "What is {x}?", "What is a {x}?", "Tell me about {x}.", "Who invented the {x}?", "How does a {x} work?",
    "Why is the {x} so {x2}?", "Write a poem", "Write a song about {x} and {x2}.", "How do I make {x}?",
    "What does {x} mean?", "Do you like {x}?", "Translate {x} into French.",
    "Give me a recipe for {x} {x2}.", "Who was {who}?", "When was {who} born?", "What did {who} do?",
    "What is the capital of {where}?", "Where is {where}?", "How many people live in {where}?",
    "What is the weather in {where}?", "Tell me the history of {where}.", "Who is the president of {where}?",
    "What happened in {year}?", "When did World War {d} end?", "Who was king of {where} in {year}?",
    "Write {d} poems about {x}.", "Give me {d} ideas for a {x}.", "What is the square root of {n}?",
    "What is {n} / {d}?", "What is {n} divided by {d}?", "Is {n} a prime number?", "Is {n} even?", "{x}",
    "{x} {x2}", "What is the meaning of {x}?", "How tall is {who}?", "Summarize the book {x}.",
    "Write a python function that prints {x}.", "What is the color of a {x}?", "Spell {x}.",
    "Is a {x} bigger than a {x2}?", "Which is better, {x} or {x2}?", "Can a {x} fly?", "Sing a song.",
    "How far is {where}?", "Why do people like {x}?", "Do you know {who}?", "What time is it in {where}?",
    "I like {x}.", "My name is {name}.", "Write an email to {name} about {x}.", "Draw a {x}.", "Play {x}.",
    "What is the best {x}?", "How is {name}?", "Should I buy a {x} or a {x2}?", "What comes after {x}?",
    "I have a {x} and a {x2}.", "Who wrote {x}?", "{n}", "What is {long} + {long2}?",
    "What is {long} * {long2}?", "Compute {long} - {d}.",
)


def other_question(rng):
    """A question that belongs to no skill: small talk, knowledge, requests, and sums that are too long."""
    draw = rng.random()
    if draw < 0.06:
        return rng.choice(GREETINGS)
    if draw < 0.16:
        return rng.choice(ABOUT)
    def thing():
        if rng.random() < 0.6:
            return rng.choice(WORDS)
        return "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(1, 4)))
    return rng.choice(OTHER_FORMS).format(
        x=thing(), x2=thing(), who=rng.choice(PEOPLE), where=rng.choice(PLACES), name=rng.choice(NAMES),
        year=rng.randint(1000, 2030), d=rng.randint(2, 12), n=rng.randint(2, 9999),
        long=rng.randint(10 ** 8, 10 ** 12), long2=rng.randint(10 ** 8, 10 ** 12))
