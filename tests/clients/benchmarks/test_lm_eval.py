"""lm-eval's local-completions and local-chat-completions, by its own tasks and by single requests."""
import json
import os

import pytest
from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.models.openai_completions import LocalChatCompletion, LocalCompletionsAPI
from lm_eval.tasks import TaskManager

from scripted_servers import ANSWER, MODEL

os.environ["OPENAI_API_KEY"] = "none"
TOKENIZERS = ["huggingface", "remote", None]


def completions(server, backend, **more):
    url = server.v1 + "/completions"
    return LocalCompletionsAPI(base_url=url, model=MODEL, tokenizer=str(server.folder) if backend == "huggingface" else None,
                               tokenizer_backend=backend, max_retries=1, **more)


def instances(kind, *arguments):
    return [Instance(request_type=kind, doc={}, arguments=argument, idx=i) for i, argument in enumerate(arguments)]


@pytest.mark.parametrize("backend", TOKENIZERS[:2])
def test_loglikelihood(answers, backend):
    pairs = [("abc", "def"), ("abc", "dex"), ("12", " 3")]
    found = completions(answers, backend).loglikelihood(instances("loglikelihood", *pairs))
    expected = [answers.model.text_logprob(context, text) for context, text in pairs]
    assert [value for value, _ in found] == pytest.approx(expected, abs=1e-3)
    assert [greedy for _, greedy in found] == [True, False, False]


@pytest.mark.parametrize("backend", TOKENIZERS[:2])
def test_loglikelihood_rolling(answers, backend):
    text = "abcd efgh"
    found = completions(answers, backend).loglikelihood_rolling(instances("loglikelihood_rolling", (text,)))
    assert found == pytest.approx([answers.model.text_logprob("", text)], abs=1e-3)


@pytest.mark.parametrize("backend", TOKENIZERS)
def test_generate_until(answers, backend):
    arguments = [("abc", {"until": ["j"], "max_gen_toks": 20}), ("ABC", {"until": ["\n\n", "K"], "max_gen_toks": 4})]
    found = completions(answers, backend).generate_until(instances("generate_until", *arguments))
    assert found == ["defghi", "DEFG"]


def test_concurrent_requests(answers):
    arguments = [(f"{i}abc", {"until": ["j"], "max_gen_toks": 20}) for i in range(16)]
    found = completions(answers, "huggingface", num_concurrent=8).generate_until(instances("generate_until", *arguments))
    assert found == ["defghi"] * 16


def test_a_task_of_chats(answers, tmp_path):
    (tmp_path / "data.jsonl").write_text("".join(json.dumps({"q": q, "a": a}) + "\n" for q, a in (
        ("What is 12 + 30?", ANSWER), ("What is 1 + 1?", "two hundred"))))
    (tmp_path / "sums.yaml").write_text(json.dumps({
        "task": "sums", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(tmp_path / "data.jsonl")}},
        "test_split": "test", "output_type": "generate_until", "doc_to_text": "{{q}}", "doc_to_target": "{{a}}",
        "generation_kwargs": {"until": ["\n\nQ:"], "max_gen_toks": 200, "do_sample": False},
        "filter_list": [{"name": "trim", "filter": [{"function": "remove_whitespace"}, {"function": "take_first"}]}],
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}]}))
    model = LocalChatCompletion(base_url=answers.v1 + "/chat/completions", model=MODEL, max_retries=1)
    results = simple_evaluate(model, tasks=["sums"], apply_chat_template=True, bootstrap_iters=0,
                              task_manager=TaskManager(include_path=str(tmp_path), include_defaults=False))
    assert results["results"]["sums"]["exact_match,trim"] == 0.5
