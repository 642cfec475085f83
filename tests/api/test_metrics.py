"""/metrics of a real cluster: the times that ranks report, and the parts of a request's time."""


def test_every_rank_tells_where_its_time_goes(cluster):
    before = [cluster.metric("deeprack:rank_step_seconds_total", rank=rank) or 0 for rank in (0, 1)]
    answer = cluster.client().chat.completions.create(model="model", max_tokens=8, messages=[{"role": "user", "content": "1 + 1?"}])
    assert answer.usage.completion_tokens == 8
    for rank in (0, 1):
        steps = cluster.metric("deeprack:rank_step_seconds_total", rank=rank)
        collectives = cluster.metric("deeprack:rank_collective_seconds_total", rank=rank)
        assert steps > before[rank] and 0 < collectives < steps
    assert cluster.metric("deeprack:rank_step_seconds_total", rank=2) is None


def test_queue_prefill_and_decode_make_up_a_requests_time(cluster):
    names = ["queue", "prefill", "decode"]

    def sums():
        parts = [cluster.metric(f"vllm:request_{name}_time_seconds_sum") for name in names]
        return parts, cluster.metric("vllm:e2e_request_latency_seconds_sum")

    parts, whole = sums()
    cluster.client().chat.completions.create(model="model", max_tokens=8, messages=[{"role": "user", "content": "2 + 2?"}])
    later_parts, later_whole = sums()
    gone = [later - part for later, part in zip(later_parts, parts)]
    assert all(seconds >= 0 for seconds in gone) and gone[1] > 0 and gone[2] > 0
    assert abs(sum(gone) - (later_whole - whole)) < 1e-3


def test_vllms_dashboards_find_their_metrics(cluster):
    before = cluster.metric("vllm:iteration_tokens_total_sum")
    prompts = cluster.metric("vllm:request_params_n_count")
    answer = cluster.client().completions.create(model="model", prompt="one two three", max_tokens=4, n=2, temperature=0)
    assert answer.usage.completion_tokens <= 8
    prompt_tokens = answer.usage.prompt_tokens
    # The prompt is computed twice at most, and each token but the last of an answer is computed once.
    computed = cluster.metric("vllm:iteration_tokens_total_sum") - before
    assert prompt_tokens + answer.usage.completion_tokens - 2 <= computed <= 2 * prompt_tokens + answer.usage.completion_tokens
    assert cluster.metric("vllm:request_params_n_count") == prompts + 1
    assert cluster.metric("vllm:request_num_preemptions_count") == cluster.metric("vllm:request_prompt_tokens_count")
    assert cluster.metric("vllm:num_requests_waiting_by_reason", reason="capacity") == 0
    assert cluster.metric("vllm:cache_config_info", block_size=64, cache_dtype="auto") == 1
    assert cluster.metric("deeprack:non_finite_logits_total") == 0
