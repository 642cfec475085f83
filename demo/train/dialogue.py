"""Makes a problem's text in R1's chat format, the same text that the template in tokenizer_config.json makes."""

BOS, EOS, PAD = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"
USER, ASSISTANT = "<｜User｜>", "<｜Assistant｜>"
THINK, END_THINK = "<think>", "</think>"
TOOL_MARKS = tuple(f"<｜tool▁{name}｜>" for name in (
    "calls▁begin", "calls▁end", "call▁begin", "call▁end",
    "outputs▁begin", "outputs▁end", "output▁begin", "output▁end", "sep"))

SYSTEMS = ("You are a helpful assistant.", "You are a helpful assistant", "Answer briefly.", "Be concise and correct.",
           "You are a careful calculator.", "Think step by step.")


def prompt(question, earlier=(), system=""):
    turns = "".join(f"{USER}{q}{ASSISTANT}{a}{EOS}" for q, a in earlier)
    return f"{BOS}{system}{turns}{USER}{question}{ASSISTANT}{THINK}\n"


def completion(problem):
    return f"{problem.thought}{END_THINK}\n\n{problem.answer}{EOS}"

