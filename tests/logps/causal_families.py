"""Tiny random models of every causal language model family in `transformers`, with logits of realistic size.

The fields in `SMALL` apply to every family whose configuration has them. `SPECIAL` adds fields for single families.
Fields that scale or cap the logits have values that change them.
"""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

FAMILIES = tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
VOCAB = 64
SPREAD = 3.0  # standard deviation of the logits over the vocabulary, in nats, as in trained models

NOT_BUILT = {
    "dots3_note": "its fixed per_layer_config does not allow fewer layers; dots3_note_text is the same class",
    "gemma3n": "needs the library timm for images; gemma3n_text is tested",
    "gemma4_assistant": "drafts tokens from the states of another model and cannot run without it",
    "gemma4_unified_assistant": "same as gemma4_assistant",
    "musicgen": "predicts audio codebooks; AutoModelForCausalLM cannot build it from its own configuration",
    "musicgen_melody": "same as musicgen",
}
"""Families that are not tested, because they cannot be built or do not model text. A test asserts that they fail."""

REFUSED = {
    "cpmant": "does not pass inputs_embeds",
    "prophetnet": "ProphetNetForCausalLM is not supported",  # predicts from a second stream of hidden states
}
"""Families that `check_logits` refuses, with part of the error message."""

SMALL = {
    "vocab_size": VOCAB, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "is_decoder": True,
    "hidden_size": 32, "d_model": 32, "n_embd": 32, "dim": 32,
    "intermediate_size": 48, "ffn_dim": 48, "n_inner": 48, "moe_intermediate_size": 16,
    "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
    "num_hidden_layers": 2, "n_layer": 2, "n_layers": 2, "num_layers": 2, "decoder_layers": 2, "encoder_layers": 1,
    "num_attention_heads": 4, "n_head": 4, "n_heads": 4, "num_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "max_position_embeddings": 64, "n_positions": 64, "max_seq_len": 64,
    "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2,
    "dropout": 0.0, "attention_dropout": 0.0, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    "final_logit_softcapping": 5.0, "output_logit_soft_cap": 5.0, "logits_scaling": 8.0, "logit_scale": 0.5,
    "lm_head_multiplier": 0.5,
}  # fmt: skip
VISION = {"image_size": 16, "patch_size": 8, "out_hidden_size": 32, "embed_dim": 32, "mlp_dim": 48, "depth": 1,
          "output_dim": 32, "projection_dim": 32}  # fmt: skip

FOUR = {"num_hidden_layers": 4}  # every fourth layer is an attention layer
LATENT = {"qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8, "kv_lora_rank": 16, "q_lora_rank": 16,
          "num_key_value_heads": 4, "head_dim": 8}  # fmt: skip
LINEAR = LATENT | {"linear_head_dim": 8, "linear_num_heads": 2, "num_expert_group": 1, "topk_group": 1}
ONE_GROUP = {"n_group": 1, "topk_group": 1}
INDEXED = LATENT | {"index_n_heads": 2, "index_head_dim": 16}
MAMBA = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_n_groups": 1, "mamba_d_state": 8}
QWEN4 = FOUR | {"indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 16, "indexer_budget": 64,
                "indexer_compress_ratio": 1}  # fmt: skip
GEMMA4 = {"layer_types": ["sliding_attention", "full_attention"], "num_kv_shared_layers": 0, "global_head_dim": 8,
          "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": VOCAB}  # fmt: skip
ZAMBA = {"num_hidden_layers": 3, "layers_block_type": ["linear_attention", "hybrid", "hybrid"],
         "attention_hidden_size": 64, "attention_head_dim": 16}  # fmt: skip
BLT_PART = {"hidden_size_global": 32, "num_hidden_layers": 1}

SPECIAL: dict[str, dict[str, Any]] = {
    "axk1": LATENT | ONE_GROUP,
    "axk2": LATENT,
    "bailing_hybrid": LINEAR | {"num_hidden_layers": 6},
    "bamba": MAMBA | {"attn_layer_indices": [1]},
    "blt": {"encoder_hash_byte_group_vocab": 50, "encoder_hash_byte_group_size": [3], "encoder_config": BLT_PART,
            "decoder_config": BLT_PART},
    "codegen": {"rotary_dim": 4},
    "cohere_compass_text": {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e4}},
                            "layer_types": ["full_attention"] * 2},
    "dbrx": {"attn_config": {"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8.0},
             "ffn_config": {"ffn_hidden_size": 48, "hidden_size": 32}},
    "deepseek_v2": LATENT,
    "deepseek_v3": LATENT,
    "deepseek_v32": INDEXED,
    "dots1": ONE_GROUP | {"n_shared_experts": 1},
    "dots3_note_text": LATENT,
    "falcon": {"head_dim": None},
    "falcon_h1": MAMBA | {"mamba_d_ssm": 64, "mamba_chunk_size": 8},
    "gemma3n_text": FOUR | {"layer_types": ["full_attention", "sliding_attention"] * 2, "num_kv_shared_layers": 0,
                            "activation_sparsity_pattern": [0.0] * 4, "intermediate_size": [48] * 4,
                            "vocab_size_per_layer_input": VOCAB, "hidden_size_per_layer_input": 8},
    "gemma4": {"text_config": GEMMA4},
    "gemma4_text": GEMMA4,
    "gemma4_unified": {"text_config": GEMMA4},
    "gemma4_unified_text": GEMMA4,
    "glm4_moe_lite": LATENT,
    "glm_moe_dsa": INDEXED,
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "gptj": {"rotary_dim": 4},
    "granitemoehybrid": MAMBA | {"layer_types": ["mamba", "attention"]},
    "jamba": FOUR | {"attn_layer_offset": 1, "attn_layer_period": 2, "expert_layer_period": 2,
                     "expert_layer_offset": 1},
    "kimi_linear": LINEAR | {"num_hidden_layers": 5},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "lfm3": FOUR,
    "longcat_flash": LATENT,
    "mamba2": {"head_dim": 16, "expand": 2, "n_groups": 1, "state_size": 8},
    "minicpm3": LATENT | {"logits_scaling": None, "dim_model_base": 16},
    "opt": {"word_embed_proj_dim": 16},
    "prophetnet": {"num_hidden_layers": None, "num_decoder_layers": 2, "num_encoder_layers": 2,
                   "num_decoder_attention_heads": 4, "num_encoder_attention_heads": 4},
    "qwen3_5": {"text_config": FOUR},
    "qwen3_5_moe": {"text_config": FOUR},
    "qwen3_5_moe_text": FOUR,
    "qwen3_5_text": FOUR,
    "qwen3_next": FOUR,
    "qwen4_exp": {"text_config": QWEN4},
    "qwen4_exp_text": QWEN4,
    "recurrent_gemma": {"num_hidden_layers": 3},
    "reformer": {"num_hidden_layers": None, "axial_pos_embds_dim": (16, 16), "axial_pos_shape": (8, 8),
                 "attention_head_size": 8, "attn_layers": ["local", "local"]},
    "xlnet": {"max_position_embeddings": None},
    "xlstm": {"hidden_size": 64, "qk_dim_factor": 1.0},
    "xmod": {"default_language": "en_XX"},
    "youtu": LATENT,
    "zamba": ZAMBA | {"n_mamba_heads": 2, "mamba_dt_rank": 4},
    "zamba2": ZAMBA | {"hybrid_layer_ids": [1, 2], "n_mamba_heads": 4, "mamba_headdim": 16, "mamba_ngroups": 1,
                       "adapter_rank": 4},
    "zaya": {"num_experts_per_tok": 1},
}  # fmt: skip


def tiny_family(family: str) -> Any:
    """Return a tiny random model of a family, in eval mode; its logits have a standard deviation of about `SPREAD`."""
    config = AutoConfig.for_model(family, **_small_fields(AutoConfig.for_model(family), SPECIAL.get(family, {})))
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    head = model.get_output_embeddings()
    if head is not None:
        logits = model(torch.arange(3, 11).unsqueeze(0), use_cache=False).logits
        with torch.no_grad():
            head.weight.mul_(SPREAD / logits.std())
    return model


def _small_fields(config: PreTrainedConfig, special: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of `SMALL` that a configuration and its nested configurations have, and its special fields.

    A special value of None removes a field.
    """
    known = set(config.to_dict()) | set(type(config).attribute_map)
    fields = {name: value for name, value in SMALL.items() if name in known} | special
    for name in type(config).sub_configs:
        inner = getattr(config, name, None)
        if inner is not None and inner.model_type:
            own = special.get(name, {})
            fields[name] = {"model_type": inner.model_type, **_small_fields(inner, own)}
            if "vision" in name:
                fields[name] |= {key: value for key, value in VISION.items() if hasattr(inner, key)} | own
    return {name: value for name, value in fields.items() if value is not None}
