"""Writes a model whose answers are known: the next token follows from the last one alone.

The checkpoint is a Llama of one layer. Attention and feed-forward are zero, and the embedding of token t is the unit vector t
[hidden_size]. The final norm multiplies it by the root of hidden_size, which is 32, and then by its weight, 1/32. So the logits
after token t are column t of lm_head, which is the table of the script.

  after a token that begins a script    the script's text, token by token (logit 40: any temperature up to 2 draws it)
  after a printable ASCII character     the next one; the first follows the last (logit 12, all others 0)
  after any other token                 the end token (logit 12, all others 0)

At temperature 1, one token in 500 is not the one that the logit 12 stands for. So generation_config.json says that the model is not
sampled: a request without a temperature has the known answer.

The tokenizer has one token for each byte and no merges. Texts of users become bytes. The pieces of a script's text are tokens of
their own, which no text encodes to: each occurs once, so that a script never crosses its own path. A script that does not end with
the end token begins again. The chat format is R1's, by R1's control tokens.

    python tests/clients/scripted_model.py FOLDER --chat 'I think.</think>The answer.<｜end▁of▁sentence｜>'
"""
import argparse
import json
import math
import pathlib
import re
import struct

import numpy as np

BOS, EOS = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
AFTER_TOOLS = "<｜tool▁outputs▁end｜>"
CONTROLS = [BOS, EOS, "<｜User｜>", "<｜Assistant｜>", "<think>", "</think>", "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>",
            "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>", "<｜tool▁outputs▁begin｜>", AFTER_TOOLS,
            "<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>"]
SCRIPT_LOGIT, HABIT_LOGIT = 40.0, 12.0
HIDDEN = 1024
PIECE_BYTES = (4, 6, 3, 7, 5)  # the wished lengths of a script's pieces, in turn
FIRST_CHARACTER, LAST_CHARACTER = 0x20, 0x7E


def byte_symbols():
    """The character by which a byte-level vocabulary spells each byte."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    symbols, extra = {byte: chr(byte) for byte in plain}, 0
    for byte in range(256):
        if byte not in symbols:
            symbols[byte] = chr(256 + extra)
            extra += 1
    return symbols


class ScriptedModel:
    """`after` maps a token (a control token or one ASCII character) to the text that follows it; see `chat_scripts`."""

    def __init__(self, after):
        symbols = byte_symbols()
        self.spell = lambda data: "".join(symbols[byte] for byte in data)
        self.ids = {text: i for i, text in enumerate(CONTROLS)}
        self.byte_ids = [self._new_token(symbols[byte]) for byte in range(256)]
        self.script_next = {}  # token id -> the next token's id, for the tokens of scripts
        for begin, text in after.items():
            self._add_script(begin, text)
        if len(self.ids) > HIDDEN:
            raise ValueError(f"the scripts need {len(self.ids)} tokens; the model has room for {HIDDEN}")

    def _new_token(self, spelling):
        return self.ids.setdefault(spelling, len(self.ids))

    def token_id(self, text):
        """The id of a control token or of one ASCII character."""
        return self.ids[text] if text in CONTROLS else self.byte_ids[ord(text)]

    def _add_script(self, begin, text):
        first = last = self.token_id(begin)
        for part in re.split("(" + "|".join(map(re.escape, CONTROLS)) + ")", text):
            for token in [self.ids[part]] if part in CONTROLS else self._pieces(part.encode()):
                self._follow(last, token)
                last = token
        if last != self.ids[EOS]:
            self._follow(last, self.script_next[first])

    def _follow(self, token, following):
        if self.script_next.setdefault(token, following) != following:
            name = [text for text, i in self.ids.items() if i == token][0]
            raise ValueError(f"two texts follow the token {name}: a script's control tokens have one successor each")

    def _pieces(self, data):
        """New tokens whose bytes join to `data`. A cut may lie inside a character."""
        made, at = [], 0
        while at < len(data):
            size = PIECE_BYTES[len(made) % len(PIECE_BYTES)]
            # The rest is one piece if it is so short that a piece of its end alone might be taken.
            while self.spell(data[at:at + size]) in self.ids or 0 < len(data) - at - size < 3:
                size += 1
                if at + size > len(data):
                    raise ValueError(f"the script's last piece {data[at:]} is a token already: change the text")
            made.append(self._new_token(self.spell(data[at:at + size])))
            at += size
        return made

    def logits(self, token):
        """The logits after the token with this id, as {token id: logit}; all others are 0."""
        if token in self.script_next:
            return {self.script_next[token]: SCRIPT_LOGIT}
        byte = token - self.byte_ids[0]
        if not FIRST_CHARACTER <= byte <= LAST_CHARACTER:
            return {self.ids[EOS]: HABIT_LOGIT}
        return {self.byte_ids[FIRST_CHARACTER if byte == LAST_CHARACTER else byte + 1]: HABIT_LOGIT}

    def logprob(self, before, token):
        """The log-probability of the token with id `token` after the one with id `before`."""
        logits = self.logits(before)
        total = sum(math.exp(value) for value in logits.values()) + len(self.ids) - len(logits)
        return logits.get(token, 0.0) - math.log(total)

    def text_logprob(self, context, text):
        """The log-probability of an ASCII text after the last character of `context`, or after BOS if that is empty."""
        before, total = self.token_id(context[-1] if context else BOS), 0.0
        for character in text:
            total += self.logprob(before, self.token_id(character))
            before = self.token_id(character)
        return total

    def tokenizer(self):
        def added(text):
            return {"id": self.ids[text], "content": text, "single_word": False, "lstrip": False, "rstrip": False,
                    "normalized": text not in (BOS, EOS), "special": text in (BOS, EOS)}

        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
        return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [added(text) for text in CONTROLS],
                "normalizer": None, "pre_tokenizer": byte_level, "post_processor": byte_level, "decoder": byte_level,
                "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                          "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                          "vocab": self.ids, "merges": []}}

    def write(self, folder, context=131072):
        """Writes config.json, generation_config.json, tokenizer.json, tokenizer_config.json and model.safetensors."""
        folder, size = pathlib.Path(folder), len(self.ids)
        folder.mkdir(parents=True, exist_ok=True)
        config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "rms_norm_eps": 1e-9,
                  "max_position_embeddings": context, "tie_word_embeddings": False, "bos_token_id": self.ids[BOS],
                  "eos_token_id": self.ids[EOS], "num_hidden_layers": 1, "rope_theta": 10000.0, "attention_bias": False,
                  "mlp_bias": False, "hidden_size": HIDDEN, "intermediate_size": 16, "num_attention_heads": 1,
                  "num_key_value_heads": 1, "head_dim": 16, "vocab_size": size, "torch_dtype": "bfloat16"}
        tokenizer_config = {"add_bos_token": True, "add_eos_token": False, "bos_token": BOS, "eos_token": EOS, "pad_token": EOS,
                            "model_max_length": context, "clean_up_tokenization_spaces": False,
                            "tokenizer_class": "PreTrainedTokenizerFast"}
        for file, value in (("config", config), ("generation_config", {"do_sample": False}), ("tokenizer", self.tokenizer()),
                            ("tokenizer_config", tokenizer_config)):
            (folder / f"{file}.json").write_text(json.dumps(value, ensure_ascii=False))
        write_bf16(folder / "model.safetensors", self._tensors(size))
        return folder

    def _tensors(self, size):
        head = np.zeros((size, HIDDEN), np.float32)
        for token in range(size):
            for following, logit in self.logits(token).items():
                head[following, token] = logit
        ones, layer = np.ones(HIDDEN, np.float32), "model.layers.0."
        tensors = {"model.embed_tokens.weight": np.eye(size, HIDDEN, dtype=np.float32), "model.norm.weight": ones / 32,
                   "lm_head.weight": head, layer + "input_layernorm.weight": ones, layer + "post_attention_layernorm.weight": ones}
        shapes = {"self_attn.q_proj": (16, HIDDEN), "self_attn.k_proj": (16, HIDDEN), "self_attn.v_proj": (16, HIDDEN),
                  "self_attn.o_proj": (HIDDEN, 16), "mlp.gate_proj": (16, HIDDEN), "mlp.up_proj": (16, HIDDEN),
                  "mlp.down_proj": (HIDDEN, 16)}
        return tensors | {f"{layer}{name}.weight": np.zeros(shape, np.float32) for name, shape in shapes.items()}


def write_bf16(path, tensors):
    """Writes a safetensors file of bf16 tensors. The values must be exact in bf16."""
    header, parts, at = {}, [], 0
    for name, value in tensors.items():
        half = (np.ascontiguousarray(value, "<f4").view("<u4") >> 16).astype("<u2")
        assert ((half.astype("<u4") << 16).view("<f4") == value).all(), f"{name} is not exact in bf16"
        parts.append(half.tobytes())
        header[name] = {"dtype": "BF16", "shape": list(value.shape), "data_offsets": [at, at + len(parts[-1])]}
        at += len(parts[-1])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def tool_call(name, arguments):
    """The text by which R1 calls one tool."""
    return (f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>{name}\n```json\n{json.dumps(arguments)}\n```"
            f"<｜tool▁call▁end｜><｜tool▁calls▁end｜>{EOS}")


def chat_scripts(chat, after_tools=None):
    """The scripts of a chat model. `chat` follows the prompt's "<think>" and line end, `after_tools` the outputs of tools."""
    scripts = {"\n": chat}
    if after_tools:
        scripts[AFTER_TOOLS] = after_tools
    return scripts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--chat", required=True, help="the text after <think> and a line end")
    parser.add_argument("--after-tools", help="the text after the outputs of tools")
    options = parser.parse_args()
    ScriptedModel(chat_scripts(options.chat, options.after_tools)).write(options.folder)
