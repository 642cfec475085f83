"""inspect-ai: an evaluation with the openai-api provider, with and without a tool."""
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, use_tools
from inspect_ai.tool import tool

from scripted_servers import MODEL, REASONING


@tool
def get_weather():
    async def execute(city: str):
        """The weather in a city.

        Args:
            city: The city.
        """
        return f"sunny in {city}"

    return execute


def evaluate(server, task, tmp_path):
    model = get_model(f"openai-api/deeprack/{MODEL}", base_url=server.v1, api_key="none", memoize=False)
    log, = eval(task, model=model, log_dir=str(tmp_path), display="none")
    assert log.status == "success", log.error
    return log


def test_accuracy(answers, tmp_path):
    samples = [Sample(input="What is 12 + 30?", target="forty-two"), Sample(input="What is 1 + 1?", target="two hundred")]
    log = evaluate(answers, Task(dataset=samples, solver=generate(), scorer=includes()), tmp_path)
    assert log.results.scores[0].metrics["accuracy"].value == 0.5
    blocks = log.samples[0].output.message.content
    assert [block.reasoning for block in blocks if block.type == "reasoning"] == [REASONING]


def test_a_tool(weather, tmp_path):
    samples = [Sample(input="How is the weather in Paris?", target="sunny in Paris")]
    log = evaluate(weather, Task(dataset=samples, solver=[use_tools(get_weather()), generate()], scorer=includes()), tmp_path)
    assert log.results.scores[0].metrics["accuracy"].value == 1
    assert [message.text for message in log.samples[0].messages if message.role == "tool"] == ["sunny in Paris"]
