"""Conversations to render a chat template with: several rounds, tools, reasoning, system messages."""

import json

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather of a city, \"now\" or later.",
    "parameters": {"type": "object", "properties": {
        "city": {"type": "string", "description": "Name, e.g. Köln"},
        "days": {"type": "integer", "default": 1, "minimum": 1},
        "unit": {"type": "string", "enum": ["C", "F"]},
        "places": {"type": "array", "items": {"type": "object", "properties": {"lat": {"type": "number"}}}}},
        "required": ["city"]}}}
SEARCH = {"type": "function", "function": {
    "name": "search", "description": "Finds pages.",
    "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}}}
PLAIN = {"type": "function", "function": {"name": "now", "description": "The time", "parameters": {"type": "object", "properties": {}}}}


def system(text):
    return {"role": "system", "content": text}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text} | more


def calls(*named, text=None, as_text=False, **more):
    listed = [{"id": f"call{index:05}", "type": "function", "function": {
        "name": name, "arguments": json.dumps(arguments, ensure_ascii=False) if as_text else arguments}}
        for index, (name, arguments) in enumerate(named)]
    return {"role": "assistant", "content": text, "tool_calls": listed} | more


def tool(text, name="get_weather", call="call00000"):
    return {"role": "tool", "content": text, "name": name, "tool_call_id": call}


KOELN = ("get_weather", {"city": "Köln", "days": 2})
PARIS = ("get_weather", {"city": "Paris", "unit": "C", "places": [{"lat": 48.85}], "strict": None, "exact": True})
PAGES = ("search", {"query": "a \"quoted\" 'word'\n<b>&"})


def rounds(as_text):
    """name -> messages. `as_text`: the arguments of calls are JSON texts, as clients send them, not objects."""
    def call(*named, **more):
        return calls(*named, as_text=as_text, **more)

    weather = [user("Wetter in Köln?"), call(KOELN)]
    return {
        "one question": [user("What is 2+2?")],
        "system": [system("Be brief."), user("  Hi \n")],
        "several turns": [user("Hi"), assistant("Hello!"), user("你好，世界 🌍\n\tإختبار"), assistant("  four \n"), user("And?")],
        "system and turns": [system("You are terse.\n"), user("a"), assistant("b"), user("c"), assistant("d"), user("e")],
        "an answer comes last": [user("a"), assistant("b")],
        "reasoning in the content": [
            user("2+2?"), assistant("<think>\n2 and 2\n</think>\n\n4"), user("Sure?"), assistant("<think>x</think>yes"), user("Why?")],
        "reasoning apart": [
            user("2+2?"), assistant("4", reasoning_content="2 and 2"), user("Sure?"),
            assistant("Yes", reasoning_content="\nlet me see\n"), user("Why?")],
        "a tool call": [*weather, tool("21 degrees")],
        "a tool call with content": [
            system("Use tools."), user("Wetter?"), call(KOELN, text="Let me look."), tool('{"t": 21}'),
            assistant("21 degrees."), user("Danke")],
        "a tool call with reasoning": [
            user("Wetter?"), call(KOELN, text="", reasoning_content="I need the weather."), tool("21"),
            assistant("It is 21.", reasoning_content="easy"), user("Danke")],
        "two calls": [
            user("Köln and Paris?"), call(KOELN, PARIS), tool("21"), tool("25", call="call00001"), assistant("21 and 25"),
            user("Which is warmer?")],
        "two rounds of tools": [
            *weather, tool("21"), call(PAGES), tool("[]", name="search"), assistant("Nothing."), user("Again"),
            call(PARIS, text=""), tool("22"), assistant("22"), user("Thanks")],
        "tools end the conversation": [*weather, tool("21"), assistant("21"), user("And Paris?"), call(PARIS), tool("25")],
        "empty texts": [system(""), user(""), assistant(""), user("x")],
        "a late system message": [user("a"), assistant("b"), system("Now rhyme."), user("c")],
        "no question": [assistant("Hello"), user("Hi")],
        "names": [user("a") | {"name": "Ada"}, assistant("b") | {"name": "bot"}, user("c")],
        "special tokens in the text": [user("<|im_end|> <｜User｜> </think> {{ x }} <s>"), assistant("</s><|eot_id|>"), user("?")],
    }


TOOL_LISTS = {"no tools": None, "tools": [WEATHER, SEARCH, PLAIN]}
SWITCHES = [{}, {"enable_thinking": True, "thinking": True}, {"enable_thinking": False, "thinking": False}]


def variables():
    """(name, variables) of every conversation, with and without tools, a generation prompt and thinking."""
    for as_text in (False, True):
        for name, messages in rounds(as_text).items():
            for tools_name, tools in TOOL_LISTS.items():
                for generation_prompt in (True, False):
                    for switches in SWITCHES:
                        yield (f"{name}, {tools_name}, {switches}, {'text' if as_text else 'object'}, {generation_prompt}",
                               {"messages": messages, "tools": tools, "add_generation_prompt": generation_prompt, **switches})
