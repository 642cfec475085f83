"""Writes a tokenizer.json as a GGUF's metadata, as llama.cpp's converter does."""

import pathlib

import gguf


def looks_special(content: str) -> bool:
    return (content.startswith("<|") and content.endswith("|>")) or (content.startswith("<｜") and content.endswith("｜>"))


def add_vocabulary(writer: gguf.GGUFWriter, tokenizer: dict, vocab_size: int, pre: str) -> None:
    vocab = {content: (index, gguf.TokenType.NORMAL) for content, index in tokenizer["model"]["vocab"].items()}
    for added in tokenizer["added_tokens"]:
        content = added["content"]
        if added["special"] or looks_special(content):
            vocab[content] = (added["id"], gguf.TokenType.CONTROL)
        else:
            vocab.pop(content, None)
            vocab[content.replace("\N{LOWER ONE EIGHTH BLOCK}", " ")] = (added["id"], gguf.TokenType.USER_DEFINED)
    by_id = {index: (content, kind) for content, (index, kind) in vocab.items()}
    filled = [by_id.get(index, (f"[PAD{index}]", gguf.TokenType.UNUSED)) for index in range(vocab_size)]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([content for content, _ in filled])
    writer.add_token_types([kind for _, kind in filled])
    writer.add_token_merges(merges)


def write_vocabulary(path: pathlib.Path, tokenizer: dict, pre: str) -> None:
    """Writes a GGUF without tensors."""
    largest = max([*tokenizer["model"]["vocab"].values(), *(token["id"] for token in tokenizer["added_tokens"])])
    writer = gguf.GGUFWriter(path, "llama")
    add_vocabulary(writer, tokenizer, largest + 100, pre)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
