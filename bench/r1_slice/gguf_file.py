"""A slice as a GGUF file that deeprack, llama.cpp and ik_llama.cpp load."""
import gguf
import numpy as np

from random_blocks import RandomBlocks
from shape import demo_tokens, tensors_of

# attn_k_b's rows have 128 values, which no block of 256 fits; llama.cpp's own files keep both wide as well.
WIDE_TYPE = "Q8_0"


def write_keys(writer, shape, tokens, added, merges):
    writer.add_name("R1 slice")
    writer.add_block_count(shape.num_hidden_layers)
    writer.add_context_length(shape.max_position_embeddings)
    writer.add_embedding_length(shape.hidden_size)
    writer.add_feed_forward_length(shape.intermediate_size)
    writer.add_head_count(shape.num_attention_heads)
    # One latent head for all: the current form, with attn_k_b and attn_v_b.
    writer.add_head_count_kv(1)
    writer.add_key_length(shape.kv_lora_rank + shape.qk_rope_head_dim)
    writer.add_value_length(shape.kv_lora_rank)
    writer.add_key_length_mla(shape.qk_nope_head_dim + shape.qk_rope_head_dim)
    writer.add_value_length_mla(shape.v_head_dim)
    writer.add_q_lora_rank(shape.q_lora_rank)
    writer.add_kv_lora_rank(shape.kv_lora_rank)
    writer.add_layer_norm_rms_eps(shape.rms_norm_eps)
    writer.add_leading_dense_block_count(shape.first_k_dense_replace)
    writer.add_vocab_size(shape.vocab_size)
    writer.add_expert_feed_forward_length(shape.moe_intermediate_size)
    writer.add_expert_count(shape.n_routed_experts)
    writer.add_expert_used_count(shape.num_experts_per_tok)
    writer.add_expert_shared_count(shape.n_shared_experts)
    writer.add_expert_group_count(shape.n_group)
    writer.add_expert_group_used_count(shape.topk_group)
    writer.add_expert_weights_scale(shape.routed_scaling_factor)
    writer.add_expert_weights_norm(True)
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    writer.add_rope_dimension_count(shape.qk_rope_head_dim)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(40.0)
    writer.add_rope_scaling_orig_ctx_len(4096)
    writer.add_rope_scaling_yarn_log_mul(0.1)

    kinds = [gguf.TokenType.UNUSED if token.startswith("[PAD") else gguf.TokenType.NORMAL for token in tokens]
    for number in added.values():
        kinds[number] = gguf.TokenType.CONTROL if number < 3 else gguf.TokenType.USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("deepseek-v3")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(True)


def values_of(tensor, blocks, rng):
    """The tensor's bytes or floats. Deviations keep activations near 1 through any number of layers."""
    if tensor.kind == "norm":
        return rng.normal(1, 0.05, tensor.shape).astype(np.float32)
    if tensor.kind == "bias":
        return rng.normal(0, 0.02, tensor.shape).astype(np.float32)
    if tensor.kind == "router":
        return rng.normal(0, 1 / np.sqrt(tensor.shape[-1]), tensor.shape).astype(np.float32)
    return blocks[tensor.kind].tensor(tensor.shape, 1 / np.sqrt(tensor.shape[-1]))


def write_gguf(path, shape, type_name, rng):
    blocks = {"matrix": RandomBlocks(type_name, rng), "wide": RandomBlocks(WIDE_TYPE, rng)}
    tensors = [tensor for tensor in tensors_of(shape) if tensor.gguf]
    writer = gguf.GGUFWriter(path, "deepseek2")
    write_keys(writer, shape, *demo_tokens(shape.vocab_size))
    for tensor in tensors:
        pool = blocks.get(tensor.kind)
        if pool is None:
            writer.add_tensor_info(tensor.gguf, tensor.shape, np.dtype(np.float32), 4 * int(np.prod(tensor.shape)))
        else:
            size = int(np.prod(tensor.shape)) // pool.block * pool.bytes
            writer.add_tensor_info(tensor.gguf, tensor.shape, np.dtype(np.float16), size, pool.type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in tensors:  # one at a time: memory for the largest only
        writer.write_tensor_data(values_of(tensor, blocks, rng))
    writer.close()

