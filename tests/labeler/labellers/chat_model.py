"""A small chat model that always gives one reply, and `transformers serve`, a real server, that serves it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch.nn import functional
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils.import_utils import is_serve_available

TURN, END = "<turn>", "<end>"
TEMPLATE = "{% for each in messages %}{{ each.role }}: {{ each.content }}\n{% endfor %}<turn>"
UPDATES = 60  # until the reply is certain


def make_chat_model(folder: Path, reply: str) -> Path:
    """A Llama of one layer with a tokenizer of bytes that replies with this text to whatever it is told."""
    vocabulary = {byte: number for number, byte in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    bytes_ = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bytes_.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytes_, eos_token=END, pad_token=END, chat_template=TEMPLATE)
    tokenizer.add_tokens([AddedToken(TURN, special=True), AddedToken(reply, normalized=False)])
    turn, said, end = (tokenizer.convert_tokens_to_ids(each) for each in (TURN, reply, END))
    model = _trained(len(tokenizer), turn, said, end)
    model.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=end, do_sample=False)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _trained(vocabulary: int, turn: int, said: int, end: int) -> LlamaForCausalLM:
    """A model that has learned: after a turn comes the reply, and then the end."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=16384,
            bos_token_id=None,
            eos_token_id=end,
        )
        model = LlamaForCausalLM(config)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
        for _ in range(UPDATES):
            prompt = torch.randint(0, 256, (8, 24))
            tail = torch.tensor([turn, said, end]).expand(8, 3)
            logits = model(torch.cat([prompt, tail], dim=1)).logits[:, -3:-1]
            loss = functional.cross_entropy(logits.reshape(-1, vocabulary), tail[:, 1:].reshape(-1))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return model


@contextmanager
def served(model: Path) -> Iterator[str]:
    """The address of `transformers serve` with this model. Skipped without the packages; where CI=true it fails."""
    if not is_serve_available():
        missing = "transformers serve needs fastapi, uvicorn and openai: pip install 'labeler[llm,dev]'"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    port = _free_port()
    program = "from transformers.cli.transformers import main; main()"
    command = [sys.executable, "-c", program, "serve", str(model), "--port", str(port), "--device", "cpu"]
    environ = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with (model / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--host", "127.0.0.1"], stdout=log, stderr=log, env=environ)
    try:
        _await(f"http://127.0.0.1:{port}/health", process, model / "log")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _await(url: str, process: subprocess.Popen[bytes], log: Path, *, seconds: float = 240) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text(encoding="utf-8", errors="replace")[-2000:]
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"no answer from {url}: {log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
