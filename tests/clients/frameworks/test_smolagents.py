"""smolagents: an agent that calls tools, and one that writes code."""
from smolagents import CodeAgent, OpenAIServerModel, ToolCallingAgent

from scripted_model import EOS, tool_call
from scripted_servers import ANSWER, MODEL


def model_of(server, **more):
    return OpenAIServerModel(model_id=MODEL, api_base=server.v1, api_key="none", **more)


def test_a_message(answers):
    message = model_of(answers).generate([{"role": "user", "content": [{"type": "text", "text": "What is 12 + 30?"}]}])
    assert message.content.strip() == ANSWER


def test_a_stream(answers):
    deltas = model_of(answers).generate_stream([{"role": "user", "content": [{"type": "text", "text": "What is 12 + 30?"}]}])
    assert "".join(delta.content or "" for delta in deltas).strip() == ANSWER


def test_tool_calling_agent(serve_script):
    server = serve_script("I know it.</think>" + tool_call("final_answer", {"answer": "forty-two"}))
    agent = ToolCallingAgent(tools=[], model=model_of(server), max_steps=2, verbosity_level=0)  # tool_choice is "required"
    assert agent.run("What is 12 + 30?") == "forty-two"


def test_code_agent(serve_script):
    server = serve_script(f"I write code.</think>Thought: a sum.\n<code>\nfinal_answer(12 + 30)\n</code>{EOS}")
    agent = CodeAgent(tools=[], model=model_of(server), max_steps=2, verbosity_level=0)
    assert agent.run("What is 12 + 30?") == 42
