# pyright: basic
"""MLC: an encoder fine-tuned to say of every LLM whether it solves a prompt (RouterEval, arXiv 2503.10657)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mar.controllers.routers.base import Examples, Floats, Prompts, fitted, share
from mar.errors import ConfigError


@dataclass(kw_only=True)
class MultiLabelClassifier:
    """A Hugging Face encoder with one logit per LLM, trained with binary cross-entropy on the prompts' texts.

    Published: RoBERTa-base, 512 tokens, 10 epochs, batches of 10, 500 steps of warm-up, weight decay 0.01.
    """

    encoder: str = "FacebookAI/roberta-base"  # name on the hub, or a folder
    tokens: int = 512
    epochs: int = 10
    batch: int = 10
    lr: float = 5e-5
    warm_up: int = 500
    weight_decay: float = 0.01
    seed: int = 0

    def fit(self, train: Examples, validation: Examples) -> None:
        """Fine-tune.

        Raises:
            ConfigError: The prompts have no texts, or there is no such encoder.
        """
        import torch
        from torch.nn import functional
        from transformers import get_linear_schedule_with_warmup

        _need_texts(train)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network, targets = self._network(train.scores.shape[1]), torch.from_numpy(train.targets.copy())
            optimizer = torch.optim.AdamW(network.parameters(), lr=self.lr, weight_decay=self.weight_decay)
            steps = self.epochs * -(-len(train) // self.batch)
            schedule = get_linear_schedule_with_warmup(optimizer, self.warm_up, steps)
            network.train()
            for _ in range(self.epochs):
                for rows in torch.randperm(len(train)).split(self.batch):
                    optimizer.zero_grad()
                    logits = network(**self._tokenise([train.texts[i] for i in rows.tolist()])).logits
                    functional.binary_cross_entropy_with_logits(logits, targets[rows]).backward()
                    optimizer.step()
                    schedule.step()
        weights = sorted(network.state_dict().items())
        self.labels_ = np.array([train.scores.shape[1]])
        self.weights_ = tuple(value.numpy().copy() for _, value in weights)
        self._fitted = network

    def score(self, prompts: Prompts) -> Floats:
        """Logits after a ReLU, so that LLMs that are expected to fail are all alike."""
        import torch

        _need_texts(prompts)
        network = self._restored().eval()
        found = []
        with torch.inference_mode():
            for at in range(0, len(prompts), 4 * self.batch):
                batch = self._tokenise(prompts.texts[at : at + 4 * self.batch])
                found.append(network(**batch).logits.clamp(min=0).numpy())
        return np.concatenate(found)

    def distribution(self, prompts: Prompts, scores: Floats) -> Floats:
        """Each LLM's share of the positive logits."""
        return share(scores)

    def _restored(self):
        """The network, rebuilt from its weights where this router was loaded from a checkpoint."""
        import torch

        weights = fitted(self, "weights_")
        if getattr(self, "_fitted", None) is None:
            network = self._network(int(fitted(self, "labels_")[0]))
            names = sorted(network.state_dict())
            network.load_state_dict({n: torch.from_numpy(w) for n, w in zip(names, weights, strict=True)})
            self._fitted = network
        return self._fitted

    def _network(self, labels: int):
        from transformers import AutoModelForSequenceClassification

        try:
            return AutoModelForSequenceClassification.from_pretrained(self.encoder, num_labels=labels)
        except (OSError, ValueError) as error:
            raise ConfigError(f"no encoder {self.encoder!r}: {str(error).splitlines()[0]}") from None

    def _tokenise(self, texts):
        if getattr(self, "_tokenizer", None) is None:
            from transformers import AutoTokenizer

            self._tokenizer = AutoTokenizer.from_pretrained(self.encoder)
        return self._tokenizer(list(texts), truncation=True, max_length=self.tokens, padding=True, return_tensors="pt")


def _need_texts(prompts: Prompts) -> None:
    if not prompts.texts:
        raise ConfigError("roberta_MLC reads the prompts' texts, and these have none; expected a table with prompts")
