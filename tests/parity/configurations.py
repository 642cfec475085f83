"""Small models of R1's architecture. Each takes other paths through the code. Odd sizes are chosen on purpose."""

R1 = dict(
    architectures=["DeepseekV3ForCausalLM"],
    model_type="deepseek_v3",
    hidden_act="silu",
    scoring_func="sigmoid",
    topk_method="noaux_tc",
    moe_layer_freq=1,
    n_shared_experts=1,
    norm_topk_prob=True,
    routed_scaling_factor=2.5,
    attention_bias=False,
    tie_word_embeddings=False,
    num_nextn_predict_layers=0,
    rms_norm_eps=1e-6,
    rope_theta=10000,
    max_position_embeddings=512,
    bos_token_id=0,
    eos_token_id=1,
)
FP8 = dict(quant_method="fp8", fmt="e4m3", activation_scheme="dynamic", weight_block_size=[128, 128])


def yarn(**changed):
    return dict(type="yarn", beta_fast=32, beta_slow=1) | changed


def configuration(dtype, prompts, seed, **fields):
    """`dtype`: the stored type of linear layers. `prompts`: the lengths of the golden prompts."""
    config = R1 | fields
    config["num_key_value_heads"] = config["num_attention_heads"]
    if dtype == "fp8":
        config["quantization_config"] = FP8
    return dict(config=config, dtype=dtype, prompts=prompts, seed=seed)


CONFIGURATIONS = {
    # One group of experts: the choice of groups must change nothing.
    "plain": configuration(
        "bf16", [9, 37, 70], seed=1, hidden_size=64, num_hidden_layers=3, first_k_dense_replace=1,
        intermediate_size=96, moe_intermediate_size=24, n_routed_experts=8, num_experts_per_tok=2, n_group=1,
        topk_group=1, num_attention_heads=4, q_lora_rank=40, kv_lora_rank=32, qk_nope_head_dim=16,
        qk_rope_head_dim=8, v_head_dim=16, vocab_size=97),
    # No dense layer, queries without LoRA, YaRN far beyond the original context.
    "no_q_lora": configuration(
        "bf16", [5, 66], seed=2, hidden_size=48, num_hidden_layers=3, first_k_dense_replace=0,
        intermediate_size=64, moe_intermediate_size=16, n_routed_experts=16, num_experts_per_tok=4, n_group=4,
        topk_group=2, num_attention_heads=4, q_lora_rank=None, kv_lora_rank=24, qk_nope_head_dim=24,
        qk_rope_head_dim=16, v_head_dim=20, vocab_size=128,
        rope_scaling=yarn(factor=40, original_max_position_embeddings=16, mscale=1, mscale_all_dim=1)),
    # Three dense layers, eight groups of two experts, another mscale.
    "eight_groups": configuration(
        "bf16", [33, 64], seed=3, hidden_size=56, num_hidden_layers=5, first_k_dense_replace=3,
        intermediate_size=104, moe_intermediate_size=24, n_routed_experts=16, num_experts_per_tok=4,
        n_group=8, topk_group=4, num_attention_heads=8, q_lora_rank=48, kv_lora_rank=40, qk_nope_head_dim=12,
        qk_rope_head_dim=8, v_head_dim=16, vocab_size=112,
        rope_scaling=yarn(factor=4, original_max_position_embeddings=32, mscale=0.707, mscale_all_dim=0.707)),
    # No matrix has rows or columns that are a multiple of 128, and each split over heads cuts a scale block.
    "fp8": configuration(
        "fp8", [11, 65], seed=4, hidden_size=160, num_hidden_layers=2, first_k_dense_replace=1,
        intermediate_size=200, moe_intermediate_size=40, n_routed_experts=8, num_experts_per_tok=3, n_group=4,
        topk_group=2, num_attention_heads=4, q_lora_rank=136, kv_lora_rank=136, qk_nope_head_dim=40,
        qk_rope_head_dim=16, v_head_dim=24, vocab_size=101),
    "fp8_no_q_lora": configuration(
        "fp8", [30, 67], seed=5, hidden_size=144, num_hidden_layers=2, first_k_dense_replace=0,
        intermediate_size=64, moe_intermediate_size=24, n_routed_experts=16, num_experts_per_tok=4, n_group=8,
        topk_group=3, num_attention_heads=8, q_lora_rank=None, kv_lora_rank=64, qk_nope_head_dim=20,
        qk_rope_head_dim=8, v_head_dim=12, vocab_size=96, num_nextn_predict_layers=1,
        rope_scaling=yarn(factor=8, original_max_position_embeddings=24, mscale=1, mscale_all_dim=0.5)),
    # A layer for multi-token prediction; routing weights that are not normalised; two shared experts.
    "mtp": configuration(
        "bf16", [20, 40], seed=6, hidden_size=64, num_hidden_layers=2, first_k_dense_replace=1,
        intermediate_size=88, moe_intermediate_size=16, n_routed_experts=8, num_experts_per_tok=3, n_group=4,
        topk_group=2, num_attention_heads=4, q_lora_rank=24, kv_lora_rank=16, qk_nope_head_dim=8,
        qk_rope_head_dim=16, v_head_dim=8, vocab_size=120, num_nextn_predict_layers=1, n_shared_experts=2,
        norm_topk_prob=False, routed_scaling_factor=1.0),
    # Stored in fp32, embeddings shared with the head.
    "float32": configuration(
        "f32", [17, 50], seed=7, hidden_size=40, num_hidden_layers=2, first_k_dense_replace=0,
        intermediate_size=64, moe_intermediate_size=16, n_routed_experts=8, num_experts_per_tok=2, n_group=1,
        topk_group=1, num_attention_heads=4, q_lora_rank=20, kv_lora_rank=20, qk_nope_head_dim=10,
        qk_rope_head_dim=6, v_head_dim=14, vocab_size=99, tie_word_embeddings=True),
    # YaRN that also scales the rotated vectors (mscale without mscale_all_dim).
    "yarn_amplitude": configuration(
        "bf16", [24, 48], seed=8, hidden_size=56, num_hidden_layers=4, first_k_dense_replace=3,
        intermediate_size=72, moe_intermediate_size=24, n_routed_experts=8, num_experts_per_tok=2, n_group=4,
        topk_group=3, num_attention_heads=8, q_lora_rank=32, kv_lora_rank=48, qk_nope_head_dim=16,
        qk_rope_head_dim=12, v_head_dim=10, vocab_size=100,
        rope_scaling=yarn(factor=16, original_max_position_embeddings=64, mscale=1)),
    # R1 in everything but size, with a prompt of several cache pages.
    "r1": configuration(
        "fp8", [1, 64, 150], seed=9, hidden_size=136, num_hidden_layers=5, first_k_dense_replace=3,
        intermediate_size=144, moe_intermediate_size=16, n_routed_experts=16, num_experts_per_tok=4,
        n_group=8, topk_group=4, num_attention_heads=8, q_lora_rank=72, kv_lora_rank=64, qk_nope_head_dim=24,
        qk_rope_head_dim=16, v_head_dim=24, vocab_size=129, num_nextn_predict_layers=1,
        rope_scaling=yarn(factor=40, original_max_position_embeddings=32, mscale=1, mscale_all_dim=1)),
}
