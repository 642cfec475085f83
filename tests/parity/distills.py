"""Small models of the R1 distills' architectures: llama (Llama 3) and qwen2 (Qwen 2.5)."""

COMMON = dict(
    hidden_act="silu",
    rms_norm_eps=1e-6,
    max_position_embeddings=512,
    tie_word_embeddings=False,
    bos_token_id=0,
    eos_token_id=1,
    num_hidden_layers=2,
)
LLAMA = COMMON | dict(architectures=["LlamaForCausalLM"], model_type="llama", rope_theta=500000.0,
                      attention_bias=False, mlp_bias=False)
QWEN2 = COMMON | dict(architectures=["Qwen2ForCausalLM"], model_type="qwen2", rope_theta=10000.0,
                      use_sliding_window=False)
# The original context is short, so that the test's few positions see slowed, blended and kept frequencies.
LLAMA3_ROPE = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                   original_max_position_embeddings=64)


def distill(base, dtype, prompts, seed, **fields):
    return dict(config=base | fields, dtype=dtype, prompts=prompts, seed=seed)


DISTILLS = {
    # Heads narrower than hidden_size / heads, four query heads to a key-value head.
    "llama_grouped": distill(
        LLAMA, "bf16", [9, 70], seed=21, hidden_size=40, intermediate_size=56, num_attention_heads=8,
        num_key_value_heads=2, head_dim=6, vocab_size=67, rope_scaling=LLAMA3_ROPE),
    # One key-value head; stored in fp32, embeddings shared with the head.
    "llama_one_kv_head": distill(
        LLAMA, "f32", [5, 66], seed=22, hidden_size=32, intermediate_size=40, num_attention_heads=4,
        num_key_value_heads=1, vocab_size=61, tie_word_embeddings=True,
        rope_scaling=LLAMA3_ROPE | dict(factor=32.0, original_max_position_embeddings=128)),
    # A key-value head for every head: no grouping.
    "qwen2_all_kv_heads": distill(
        QWEN2, "f32", [33, 64], seed=23, hidden_size=24, intermediate_size=40, num_attention_heads=4,
        num_key_value_heads=4, head_dim=10, vocab_size=59),
    # Seven query heads to a key-value head as in 7B would need 28; here three, tied as in Qwen's small models.
    "qwen2_tied": distill(
        QWEN2, "bf16", [20, 67], seed=24, hidden_size=48, intermediate_size=72, num_attention_heads=12,
        num_key_value_heads=4, head_dim=8, vocab_size=64, tie_word_embeddings=True),
    # One key-value head, biases, YaRN as Qwen documents it for long contexts.
    "qwen2_yarn": distill(
        QWEN2, "bf16", [1, 64, 131], seed=25, hidden_size=32, intermediate_size=48, num_attention_heads=4,
        num_key_value_heads=1, head_dim=16, vocab_size=57,
        rope_scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32)),
}
