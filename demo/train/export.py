"""Writes a trained state as a checkpoint in R1's format: names, shards, fp8 blocks with scales, configs, tokenizer.

`load` reads such a folder and dequantises it, for evaluation.
"""
import argparse
import json
import pathlib
import shutil
import tempfile

import torch
from safetensors import safe_open
from safetensors.torch import save_file

import build_tokenizer
from model import CONFIG, Model, Weight, dequantize_blocks, quantize_blocks

SHARDS = 2
GENERATION = {"_from_model_config": True, "bos_token_id": 0, "eos_token_id": 1, "do_sample": True, "temperature": 0.6,
              "top_p": 0.95}


def split_experts(state):
    """Makes one view for each expert of each stacked expert tensor, with the names of R1's checkpoint."""
    out = {}
    for name, tensor in state.items():
        if ".mlp.experts." in name:
            head, tail = name.split(".mlp.experts.")
            out |= {f"{head}.mlp.experts.{e}.{tail}": part for e, part in enumerate(tensor)}
        else:
            out[name] = tensor
    return out


def checkpoint_names(model):
    """Parameter name -> names in the checkpoint; several names if the checkpoint holds copies."""
    mtp = f"model.layers.{model.config['num_hidden_layers']}."
    names = {}
    for name in split_experts(model.state_dict()):
        if name == "lm_head.weight":
            names[name] = [name, mtp + "shared_head.head.weight"]
        elif name == "embed_tokens.weight":
            names[name] = ["model." + name, mtp + name]
        elif name == "mtp.norm.weight":
            names[name] = [mtp + "shared_head.norm.weight"]
        elif name.startswith("mtp.layer."):
            names[name] = [mtp + name.removeprefix("mtp.layer.")]
        elif name.startswith("mtp."):
            names[name] = [mtp + name.removeprefix("mtp.")]
        else:
            names[name] = ["model." + name]
    return names


def fp8_names(model):
    return {f"{name}.weight" for name, m in model.named_modules() if isinstance(m, Weight) and m.fp8}


def without_expert(name):
    head, middle, tail = name.partition(".mlp.experts.")
    return head + middle + tail.partition(".")[2] if middle else name


def tensors(model, state):
    names, fp8 = checkpoint_names(model), fp8_names(model)
    out = {}
    for name, value in split_experts(state).items():
        for target in names[name]:
            if without_expert(name) in fp8:
                out[target], out[target + "_scale_inv"] = quantize_blocks(value)
            elif name.endswith("e_score_correction_bias"):
                out[target] = value.float().clone()
            else:
                out[target] = value.bfloat16()
    return out


def write_shards(folder, all_tensors):
    total = sum(t.nbytes for t in all_tensors.values())
    shards, filled = [{}], 0
    for name, tensor in all_tensors.items():
        if filled > total / SHARDS * len(shards):
            shards.append({})
        shards[-1][name] = tensor.contiguous().clone()
        filled += tensor.nbytes
    index = {}
    for i, shard in enumerate(shards, 1):
        file = f"model-{i:05}-of-{len(shards):06}.safetensors"
        save_file(shard, folder / file, metadata={"format": "pt"})
        index |= {name: file for name in shard}
    content = {"metadata": {"total_size": total}, "weight_map": dict(sorted(index.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(content, indent=2) + "\n")


def export(state, tokenizer_json, out):
    model, out = Model(), pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as temporary:
        folder = pathlib.Path(temporary)
        build_tokenizer.write_config(folder)
        shutil.copy(tokenizer_json, folder / "tokenizer.json")
        (folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
        (folder / "generation_config.json").write_text(json.dumps(GENERATION, indent=2) + "\n")
        write_shards(folder, tensors(model, state))
        for file in sorted(folder.iterdir()):
            file.chmod(0o644)
            file.replace(out / file.name)


def load(folder):
    """The exported model as a training module, dequantised to float32."""
    folder = pathlib.Path(folder)
    stored = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as shard:
            stored |= {name: shard.get_tensor(name) for name in shard.keys()}
    model = Model(json.loads((folder / "config.json").read_text()))
    values = {}
    for name, (target, *_) in checkpoint_names(model).items():
        scale = stored.get(target + "_scale_inv")
        values[name] = stored[target].float() if scale is None else dequantize_blocks(stored[target], scale)
    state = {}
    for name, tensor in model.state_dict().items():
        if ".mlp.experts." in name:
            head, tail = name.split(".mlp.experts.")
            state[name] = torch.stack([values[f"{head}.mlp.experts.{e}.{tail}"] for e in range(len(tensor))])
        else:
            state[name] = values[name]
    model.load_state_dict(state)
    return model.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", default="build/demo_train", help="folder of train.py's checkpoints")
    parser.add_argument("--name", default="state.pt")
    parser.add_argument("--out", default="demo/model")
    parser.add_argument("--last", action="store_true", help="export the last weights, not their running average")
    arguments = parser.parse_args()
    folder = pathlib.Path(arguments.state)
    state = torch.load(folder / arguments.name)
    export(state["model" if arguments.last else "ema"], folder / "tokenizer.json", arguments.out)


if __name__ == "__main__":
    main()
