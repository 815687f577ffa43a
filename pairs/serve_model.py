"""Serve a causal language model of transformers as OpenAI-compatible chat: one request at a time.

    python program.py COMFYUI pairs.serve_model FOLDER --port 8080

It takes no response_format, so clients fall back to plain text. A model without a chat template
gets the last message as it stands: that is the prompt of one that was trained in the authors' form.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import threading
from pathlib import Path
from typing import Any

import torch
from aiohttp import web


class Served:
    """A model and its tokenizer, from a folder of safetensors."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.name = folder.name
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, use_safetensors=True
        )
        self.model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        self.turn = asyncio.Lock()

    def prompt(self, messages: list[dict[str, str]]) -> Any:
        """The token ids [1, n] of a conversation."""
        if self.tokenizer.chat_template:
            text = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
        else:
            text = messages[-1]["content"]
        return self.tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids

    def complete(self, body: dict[str, Any]) -> str:
        """The model's continuation, up to the first of the stop texts."""
        ids = self.prompt(body["messages"]).to(self.model.device)
        temperature = float(body.get("temperature", 1.0))
        sampling = {"do_sample": True, "temperature": temperature} if temperature > 0 else {}
        stops = body.get("stop") or []
        torch.manual_seed(int(body.get("seed", 0)))
        with torch.no_grad():
            out = self.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=int(body.get("max_tokens", 256)),
                pad_token_id=self.tokenizer.eos_token_id,
                tokenizer=self.tokenizer,
                **({"stop_strings": stops} if stops else {}),
                **sampling,
            )
        text = self.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
        for stop in stops:
            text = text.split(stop)[0]
        return str(text)

    async def chat(self, request: web.Request) -> web.Response:
        try:
            body = await request.json()
            messages = body["messages"]
            assert messages and all(isinstance(m["content"], str) for m in messages)
        except (ValueError, KeyError, TypeError, AssertionError):
            raise web.HTTPBadRequest(text="messages: expected a list of role and content") from None
        if "response_format" in body:
            raise web.HTTPBadRequest(text="response_format: this server gives plain text alone")
        async with self.turn:
            text = await asyncio.to_thread(self.complete, body)
        message = {"role": "assistant", "content": text}
        return web.json_response({"choices": [{"index": 0, "message": message}]})

    async def models(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": self.name, "object": "model"}]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    try:
        served = Served(arguments.folder)
    except (OSError, ValueError) as error:
        print(f"{arguments.folder} holds no language model: {error}", file=sys.stderr)
        sys.exit(3)

    def end_with_parent() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=end_with_parent, daemon=True).start()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", served.chat)
    app.router.add_get("/v1/models", served.models)
    web.run_app(app, host="127.0.0.1", port=arguments.port, print=None)


if __name__ == "__main__":
    main()
