"""Runs `deeprack load` as a user does: against the demo model, and against a server with known delays and errors."""

import json
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))
from scripted_llm import Script, ScriptedLlm, words  # noqa: E402
from serve_command import BIN, run  # noqa: E402

TOKENS = 6
SHORT = ("--input-tokens", 40, "--output-tokens", TOKENS, "--spread", 0, "--warmup", 0)


def measure(script, *arguments, folder, lengths=SHORT):
    """Runs `deeprack load` against the script; the report as `--json` writes it."""
    with ScriptedLlm(script) as llm:
        done = run("load", "--url", llm.url, *lengths, "--json", folder / "report.json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "report.json").read_text()), done.stdout


def test_every_error_is_counted_by_its_kind(tmp_path):
    kinds = ["ok", "429", "503", "error event", "bad event", "no token", "broken", "ok", "429", "silent"]
    script = Script(TOKENS, lambda number: kinds[number])
    report, text = measure(script, "--concurrency", 1, "--requests", len(kinds), "--timeout", 1.5, folder=tmp_path)
    level, = report["levels"]
    assert [level["requests"], level["succeeded"], level["failed"]] == [10, 2, 8]
    assert {kind: failure["count"] for kind, failure in level["failures"].items()} == {
        "http 429 code_429": 2, "http 503 code_503": 1, "error event lost_rank": 1, "bad event": 1, "no token": 1,
        "broken stream": 1, "time-out": 1}
    assert level["failures"]["http 429 code_429"]["example"] == "answer 429"
    assert level["output_tokens"] == 2 * TOKENS, "of what succeeded"
    assert "failed: 2 x http 429 code_429: answer 429" in text
    assert "WARNING: 8 of 10 requests failed; the figures are of the others alone\n  requests/s" in text


@pytest.mark.parametrize("behaviour, code", [("429", 75), ("503", 69), ("400", 78), ("500", 70)])
def test_a_level_without_a_success_decides_the_exit_code(behaviour, code):
    with ScriptedLlm(Script(TOKENS, lambda number: behaviour)) as llm:
        done = run("load", "--url", llm.url, *SHORT, "--concurrency", 2, "--requests", 4)
    assert done.returncode == code, done.stderr
    assert f"4 x http {behaviour} code_{behaviour}" in done.stdout


def test_latencies_are_those_of_the_script(tmp_path):
    """Three events of two tokens: 0.3 s to the first, 0.1 s from one to the next."""
    script = Script(TOKENS, first=0.3, gap=0.1, per_event=2)
    report, _ = measure(script, "--concurrency", 2, "--requests", 6, "--goodput", "ttft:60000,tpot:60000",
                        folder=tmp_path)
    level, = report["levels"]
    assert level["output_tokens"] == 6 * TOKENS and level["tokens_per_event"] == 2
    assert level["input_tokens"] == sum(2 * len(words(body).split()) + 5 for body in script.requests)
    # What the server sleeps is the least; a busy machine adds to it.
    for name, least, samples in (("ttft_ms", 300, 6), ("event_gap_ms", 100, 12), ("tpot_ms", 200 / 5, 6),
                                 ("e2e_ms", 500, 6)):
        assert least * 0.99 <= level[name]["p50"] <= level[name]["p99"], name
        assert level[name]["mean"] < least + 5000 and level[name]["samples"] == samples, name
    assert level["goodput_share"] == 1
    assert level["goodput_requests_per_second"] == pytest.approx(level["requests_per_second"])
    assert level["cache_hit_rate"] == pytest.approx(6 * 4 / level["input_tokens"])
    assert level["server"] is None, "the scripted server has no /metrics"

    report, _ = measure(Script(TOKENS, first=0.3), "--concurrency", 2, "--requests", 4, "--goodput", "ttft:250",
                        folder=tmp_path)
    assert report["levels"][0]["goodput_share"] == 0 and report["levels"][0]["goodput_requests_per_second"] == 0


def test_an_open_loop_waits_for_no_answer(tmp_path):
    """20 arrivals in less than half a second, answers of two seconds: a client that waited would have one at a time."""
    script = Script(TOKENS, first=2)
    report, _ = measure(script, "--rate", 50, "--requests", 20, "--burstiness", 0.5, folder=tmp_path)
    level, = report["levels"]
    assert level["succeeded"] == 20
    assert script.most_running >= 10 and level["most_in_flight"] >= 10
    assert level["seconds"] < 20
    assert 20 < level["offered_requests_per_second"] < 200


def test_a_closed_loop_keeps_its_sessions_at_once(tmp_path):
    script = Script(TOKENS, first=0.05)
    report, text = measure(script, "--concurrency", "3,1", "--requests", 9, folder=tmp_path)
    assert script.most_running == 3
    assert [level["most_in_flight"] for level in report["levels"]] == [3, 1]
    assert [level["succeeded"] for level in report["levels"]] == [9, 9]
    assert len(script.connections) <= 4, "connections are used again"
    assert len(set(map(words, script.requests))) == 18, "no prompt is sent twice"
    assert re.search(r"\| concurrency 3 \| +0 \|", text)


def test_a_connection_that_the_server_has_closed_is_no_failure(tmp_path):
    script = Script(TOKENS, requests_of_a_connection=2)
    report, _ = measure(script, "--concurrency", 1, "--requests", 7, folder=tmp_path)
    assert report["levels"][0]["succeeded"] == 7
    assert len(script.requests) == 7


def test_the_warm_up_is_not_measured(tmp_path):
    script = Script(TOKENS)
    report, _ = measure(script, "--concurrency", 2, "--requests", 4, folder=tmp_path, lengths=(*SHORT[:-2], "--warmup", 5))
    assert report["levels"][0]["requests"] == 4
    assert len(script.requests) == 9
    assert len(set(map(words, script.requests))) == 9, "the warm-up has other texts"


def test_the_seed_decides_everything(tmp_path):
    def prompts(seed):
        script = Script(TOKENS)
        measure(script, "--concurrency", 1, "--requests", 3, "--seed", seed, folder=tmp_path)
        return list(map(words, script.requests))

    first = prompts(1)
    assert prompts(1) == first and not set(prompts(2)) & set(first)


def test_an_agents_turn_holds_the_earlier_turns(tmp_path):
    script = Script(TOKENS, first=0.02)
    report, _ = measure(script, "--workload", "agent", "--turns", 3, "--think-time", 0.05, "--prefix-tokens", 60,
                        "--concurrency", 2, "--requests", 6, folder=tmp_path)
    assert report["levels"][0]["succeeded"] == 6 and report["levels"][0]["not_sent"] == 0
    assert len({body["messages"][0]["content"] for body in script.requests}) == 1, "the shared system prompt"
    by_length = {n: [body["messages"] for body in script.requests if len(body["messages"]) == n] for n in (2, 4, 6)}
    assert [len(found) for found in by_length.values()] == [2, 2, 2]
    for messages in by_length[6]:
        assert [message["role"] for message in messages] == ["system", *("user", "assistant") * 2, "user"]
        assert messages[2]["content"] == "".join(f"w{n} " for n in range(1, TOKENS + 1)), "the server's answer"
        assert messages[:4] in by_length[4] and messages[:2] in by_length[2]


def test_a_session_ends_with_a_turn_that_fails(tmp_path):
    script = Script(TOKENS, lambda number: "503" if number == 1 else "ok")
    report, text = measure(script, "--workload", "agent", "--turns", 4, "--think-time", 0, "--concurrency", 1,
                           "--requests", 8, folder=tmp_path)
    level, = report["levels"]
    assert [level["requests"], level["failed"], level["not_sent"]] == [6, 1, 2]
    assert "not sent: 2 later turns" in text


def test_a_mooncake_trace_is_sent_as_it_says(tmp_path):
    trace = tmp_path / "trace.jsonl"
    rows = [(0, 1100, [0, 1, 2]), (300, 1200, [0, 1, 3]), (900, 600, [0, 4])]
    trace.write_text("".join(json.dumps({"timestamp": at, "input_length": tokens, "output_length": TOKENS,
                                         "hash_ids": ids}) + "\n" for at, tokens, ids in rows))
    script = Script(TOKENS)
    report, text = measure(script, "--trace", trace, "--time-scale", 0.5, folder=tmp_path, lengths=("--warmup", 0))
    one, two, three = (words(body).split() for body in script.requests)
    block = 512 // 2  # the scripted server counts two tokens a word
    assert one[:2 * block] == two[:2 * block] and one[2 * block:] != two[2 * block:2 * block + len(one)]
    assert one[:block] == three[:block] and one[block:block + 20] != three[block:block + 20]
    assert [abs(tokens - asked) <= 4 for tokens, (_, asked, _) in
            zip((2 * len(words(body).split()) + 5 for body in script.requests), rows)] == [True] * 3
    assert script.arrivals[1] - script.arrivals[0] > 0.1 and script.arrivals[2] - script.arrivals[0] > 0.4
    assert report["levels"][0]["offered_requests_per_second"] == pytest.approx(2 / 0.45)
    assert "(Mooncake, 3 requests)" in text


def test_a_burstgpt_trace_in_a_closed_loop(tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text("Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
                     f"5,ChatGPT,80,{TOKENS},86,Conversation log\n3600,GPT-4,90,{TOKENS},96,API log\n"
                     "3601,GPT-4,417,0,417,API log\n")
    script = Script(TOKENS)
    report, text = measure(script, "--trace", trace, "--concurrency", 1, folder=tmp_path, lengths=("--warmup", 0))
    assert report["levels"][0]["succeeded"] == 2
    assert "(BurstGPT, 2 requests; 1 that had failed are left out)" in text


@pytest.mark.parametrize("refused, tokens, fact", [
    (("continuous_usage_stats",), 2 * TOKENS, "counted by the usage at the end of each answer"),
    (("stream_options",), TOKENS, "one for each event with text, because the server reports no usage"),
    (("ignore_eos",), 2 * TOKENS, "counted by the usage that every event of an answer states")])
def test_a_server_that_knows_fewer_fields_is_measured_without_them(refused, tokens, fact, tmp_path):
    script = Script(TOKENS, per_event=2, refused=refused)
    report, _ = measure(script, "--concurrency", 1, "--requests", 2, "--api", "completions", folder=tmp_path)
    level, = report["levels"]
    assert level["succeeded"] == 2 and level["output_tokens"] == tokens
    assert report["facts"]["tokens"].startswith(fact)
    assert ("does not take ignore_eos" in report["facts"]["requests"]) == (refused != ("continuous_usage_stats",))


def test_the_demo_model_under_shared_prefixes(tmp_path):
    """By both counts, the client's and the server's, prompts are found in the prefix cache."""
    page, file = tmp_path / "page.html", tmp_path / "report.json"
    done = run("load", "--workload", "shared-prefix", "--concurrency", "1,3", "--requests", 6, "--input-tokens", 60,
               "--prefix-tokens", 200, "--prefixes", 1, "--output-tokens", 8, "--spread", 0, "--json", file,
               "--html", page)
    assert done.returncode == 0, done.stderr
    report = json.loads(file.read_text())
    assert report["model"] == "demo" and report["loop"] == "closed"
    for level in report["levels"]:
        assert level["succeeded"] == 6 and level["output_tokens"] == 48
        assert 6 * 180 < level["input_tokens"] < 6 * 400
        assert level["server"]["generated_tokens"] == 48
        assert 0.3 < level["cache_hit_rate"] < 0.9
        assert level["server_cache_hit_rate"] == pytest.approx(level["cache_hit_rate"])
    text = page.read_text()
    assert text.count("<svg") == 7 and text.count("</svg>") == 7 and text.rstrip().endswith("</html>")
    assert not re.search(r"<script|<link|<img|https?:|url\(|nan", text)


def test_wrong_command_lines(tmp_path):
    trace = tmp_path / "trace.jsonl"
    trace.write_text('{"timestamp": 0, "input_length": 5, "output_length": 1}\n{"timestamp": 0}\n')
    for arguments, code, message in (
            (("--concurrency", 1, "--rate", 1), 64, "choose one of them"),
            (("--rate", 0), 64, "--rate is 0; expected 0.001 to 100000"),
            (("--url", "http://127.0.0.1:1", "--tp", 2), 64, "do not go with it"),
            (("--url", "http://127.0.0.1:1"), 69, "Connection refused"),
            (("--url", "https://a"), 78, "https is not supported"),
            (("--trace", tmp_path / "none"), 78, "none: the trace cannot be read"),
            (("--trace", trace), 78, f"{trace}, line 2: \"input_length\" is missing or no whole number; correct the line"),
            (("--json", tmp_path / "none" / "r.json"), 78, "r.json: cannot be written")):
        done = run("load", *arguments)
        assert done.returncode == code and message in done.stderr, (arguments, done.returncode, done.stderr)


def test_ctrl_c_ends_it():
    with ScriptedLlm(Script(TOKENS, first=60)) as llm:
        load = subprocess.Popen([str(BIN / "deeprack"), "load", "--url", llm.url, "--concurrency", "4", *map(str, SHORT)],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert load.stdout.readline().startswith("scripted at 127.0.0.1")
        time.sleep(0.3)
        load.send_signal(signal.SIGINT)
        _, errors = load.communicate(timeout=30)
        assert load.returncode == 130, errors
