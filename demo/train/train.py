"""Trains the demo model on newly drawn problems. A run may be stopped and resumed at any time.

The learning rate warms up, stays constant and, with --decay-minutes, falls to zero over the last minutes of the run. Each log line
has, for each skill, the share of samples whose whole completion is predicted without an error. The prediction uses teacher forcing,
which for a completion without errors is the same as greedy decoding.
"""
import argparse
import copy
import json
import pathlib
import random
import signal
import time
from collections import defaultdict

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import build_tokenizer
import dialogue
import problems
from model import Group, Model, Weight
from muon import Muon

SKILL_WEIGHTS = dict(zip(problems.SKILLS, (1.0, 1.2, 1.4, 1.5, 1.5, 3.5, 1.5, 0.6)))
EMA_DECAY = 0.997
BALANCE_RATE = 1e-3
MTP_EVERY = 8
FIRST_WORTH = [4.0] * 3 + [2.0] * 8  # loss weights of a completion's first tokens, which decide the chain that follows
ANSWER_WORTH = 3.0


class Data:
    """Batches of samples, sorted by length and divided into groups of equal padded length."""

    def __init__(self, tokenizer, rng, weights, group_count=8):
        self.tokenizer, self.rng, self.group_count = tokenizer, rng, group_count
        self.skills, self.weights = list(weights), list(weights.values())
        self.end_think = tokenizer.token_to_id(dialogue.END_THINK)
        self.pad = tokenizer.token_to_id(dialogue.PAD)

    def conversation(self, problem):
        """Mostly a single question; sometimes with a system text or earlier turns."""
        earlier, system = [], ""
        if self.rng.random() < 0.08:
            for _ in range(self.rng.randint(1, 2)):
                old = problems.sample(self.rng, self.rng.choice(self.skills))
                earlier.append((old.question, self.rng.choice(("", "\n\n")) + old.answer))
        if self.rng.random() < 0.04:
            system = self.rng.choice(dialogue.SYSTEMS)
        return dialogue.prompt(problem.question, earlier, system)

    def batch(self, tokens_wanted, level):
        samples, total = [], 0
        while total < tokens_wanted:
            skill = self.rng.choices(self.skills, self.weights)[0]
            problem = problems.sample(self.rng, skill, min(1.0, level * self.rng.uniform(0.5, 1.5)))
            asked = self.tokenizer.encode(self.conversation(problem)).ids
            told = self.tokenizer.encode(dialogue.completion(problem)).ids
            samples.append((asked + told, len(asked), skill))
            total += len(asked) + len(told)
        samples.sort(key=lambda s: len(s[0]))
        tokens, targets, owners, worth, groups = [], [], [], [], []
        share = -(-len(samples) // self.group_count)
        for first in range(0, len(samples), share):
            part = samples[first:first + share]
            length = len(part[-1][0])
            groups.append(Group(len(tokens), len(part), length))
            for i, (ids, asked, _) in enumerate(part, first):
                fill = length - len(ids)
                tokens += ids + [self.pad] * fill
                targets += [-1] * (asked - 1) + ids[asked:] + [-1] * (fill + 1)
                owners += [i] * length
                thought = ids.index(self.end_think, asked) + 1 - asked
                start = FIRST_WORTH[:thought] + [1.0] * (thought - len(FIRST_WORTH))
                worth += [1.0] * (asked - 1) + start + [ANSWER_WORTH] * (length - asked + 1 - thought)
        fill = -len(tokens) % 128  # pads to a multiple of 128, so that matrix shapes repeat
        if fill:
            groups.append(Group(len(tokens), 1, fill))
            tokens, targets, owners = tokens + [self.pad] * fill, targets + [-1] * fill, owners + [0] * fill
            worth += [1.0] * fill
        return (torch.tensor(tokens), torch.tensor(targets), torch.tensor(owners), torch.tensor(worth), groups,
                [s[2] for s in samples])


class Trainer:
    def __init__(self, arguments):
        self.a = arguments
        self.folder = pathlib.Path(arguments.state)
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(arguments.seed)
        if not (self.folder / "tokenizer.json").exists():
            build_tokenizer.write(self.folder, arguments.seed)
        self.model = Model()
        self.ema = copy.deepcopy(self.model.state_dict())
        matrices = [m.weight for m in self.model.modules() if isinstance(m, Weight) and m is not self.model.lm_head]
        known = {id(p) for p in matrices}
        self.muon = Muon(matrices, lr=arguments.muon_lr)
        self.adam = torch.optim.AdamW([p for p in self.model.parameters() if id(p) not in known],
                                      lr=arguments.adam_lr, betas=(0.9, 0.98), weight_decay=0.0)
        self.step, self.tokens, self.seconds, self.mtp_right = 0, 0, 0.0, 0.0
        if (self.folder / "state.pt").exists():
            self.load(self.folder / "state.pt")
        rng = random.Random(arguments.seed * 1_000_003 + self.step)
        weights = SKILL_WEIGHTS | json.loads(arguments.weights)
        self.data = Data(Tokenizer.from_file(str(self.folder / "tokenizer.json")), rng, weights)
        self.model.fake_quantize(arguments.fake_fp8)

    def load(self, path):
        state = torch.load(path)
        self.model.load_state_dict(state["model"])
        self.ema = state["ema"]
        self.muon.buffers = state["muon"]
        self.adam.load_state_dict(state["adam"])
        self.step, self.tokens, self.seconds = state["progress"]

    def save(self, name="state.pt"):
        temporary = self.folder / (name + ".new")
        torch.save({"model": self.model.state_dict(), "ema": self.ema, "muon": self.muon.buffers,
                    "adam": self.adam.state_dict(), "progress": (self.step, self.tokens, self.seconds)}, temporary)
        temporary.replace(self.folder / name)

    def losses(self, tokens, targets, owners, worth, groups, skills):
        """Returns the main loss, the MTP loss (or None) and, for each skill, which samples were predicted without an error."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.a.bf16):
            hidden = self.model(tokens, groups)
            said = (targets >= 0).nonzero()[:, 0]
            said = F.pad(said, (0, -len(said) % 256), value=len(targets) - 1)  # the last row has no target
            goal = targets[said]
            logits = self.model.lm_head(hidden[said]).float()
            worth = worth[said] * (goal >= 0)
            loss = (F.cross_entropy(logits, goal, ignore_index=-1, reduction="none") * worth).sum() / worth.sum()
            mtp_loss = None
            if self.step % self.a.mtp_every == 0:
                second = targets.roll(-1)[said].where(goal >= 0, -1)
                mtp_hidden = self.model.predict_second(tokens, hidden, groups)[said]
                mtp_logits = F.linear(mtp_hidden, self.model.lm_head.weight.detach()).float()
                mtp_loss = F.cross_entropy(mtp_logits, second, ignore_index=-1)
                hits = (mtp_logits.argmax(-1) == second)[second >= 0]
                self.mtp_right = hits.float().mean().item()
        missed = ((logits.argmax(-1) != goal) & (goal >= 0)).float()
        wrong = torch.zeros(len(skills)).index_add_(0, owners[said], missed)
        right = defaultdict(list)
        for skill, errors in zip(skills, wrong.tolist()):
            right[skill].append(errors == 0)
        return loss, mtp_loss, right

    def update(self, scale):
        for group in self.adam.param_groups:
            group["lr"] = self.a.adam_lr * scale
        torch.nn.utils.clip_grad_norm_(self.adam.param_groups[0]["params"], 1.0)
        self.muon.step(scale)
        self.adam.step()
        for p in self.model.parameters():
            p.grad = None
        for moe in self.model.moes():
            if moe is not self.model.mtp.layer.mlp or self.step % self.a.mtp_every == 0:
                moe.balance(BALANCE_RATE * scale)
        for name, value in self.model.state_dict().items():
            self.ema[name].lerp_(value, 1 - min(EMA_DECAY, (self.step + 1) / (self.step + 10)))

    def report(self, right, loss, scale):
        share = "  ".join(f"{s[:5]} {100 * sum(right[s]) / max(1, len(right[s])):.0f}" for s in problems.SKILLS)
        print(f"step {self.step}  loss {loss:.4f}  mtp {self.mtp_right:.2f}  lr {scale:.2f}  "
              f"{self.tokens / 1e6:.1f} Mtok  {self.seconds / 60:.0f} min  {share}", flush=True)

    def run(self):
        began, saved, logged = time.time(), time.time(), time.time()
        end = began + 60 * self.a.minutes
        decay = 60 * self.a.decay_minutes
        stable_saved = False
        right, loss_sum, since = defaultdict(list), 0.0, self.step
        self.stopped = False
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "stopped", True))
        while (now := time.time()) < end and not self.stopped:
            scale = self.a.lr_scale * min(1.0, (self.step + 1) / 100)
            if decay and end - now < decay:
                if not stable_saved:
                    self.save("stable.pt")
                    stable_saved = True
                scale *= (end - now) / decay
            level = min(1.0, 0.25 + self.step / self.a.curriculum_steps)
            batch = self.data.batch(self.a.batch_tokens, level)
            loss, mtp_loss, found = self.losses(*batch)
            (loss if mtp_loss is None else loss + mtp_loss).backward()
            self.update(scale)
            self.step += 1
            self.tokens += len(batch[0])
            loss_sum += loss.item()
            for skill, flags in found.items():
                right[skill] += flags
            if self.step % 100 == 0:
                self.seconds += time.time() - logged
                self.report(right, loss_sum / (self.step - since), scale)
                logged = time.time()
                right, loss_sum, since = defaultdict(list), 0.0, self.step
            if time.time() - saved > 150:
                self.save()
                saved = time.time()
        self.save()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", default="build/demo_train", help="folder of checkpoints; training resumes from it")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--decay-minutes", type=float, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch-tokens", type=int, default=4500)
    parser.add_argument("--curriculum-steps", type=int, default=1200)
    parser.add_argument("--muon-lr", type=float, default=0.02)
    parser.add_argument("--adam-lr", type=float, default=3e-3)
    parser.add_argument("--lr-scale", type=float, default=1.0, help="factor on the rates, for a resumed decay")
    parser.add_argument("--mtp-every", type=int, default=MTP_EVERY)
    parser.add_argument("--weights", default="{}", help="JSON: sampling weights by skill, which replace the defaults")
    parser.add_argument("--fake-fp8", action="store_true", help="train with the values that fp8 storage will have")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    Trainer(arguments).run()


if __name__ == "__main__":
    main()
