"""Takes vLLM's command line and answers a few of its paths; standard library only, so that it starts at once."""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = os.environ.get("VLLM_API_KEY")
generated = 0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        global generated
        if self.path == "/health":
            self.reply(503 if "--stand-in-never-ready" in sys.argv else 200, "")
        elif self.path == "/metrics":
            generated += 40
            self.reply(
                200,
                "vllm:num_requests_running 2\nvllm:num_requests_waiting 5\nvllm:kv_cache_usage_perc 0.25\n"
                f"vllm:generation_tokens_total {generated}\n",
            )
        else:
            self.guarded()

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.guarded()

    def guarded(self):
        known = KEY is None or self.headers.get("Authorization") == f"Bearer {KEY}"
        self.reply(200 if known else 401, json.dumps({"data": []}))

    def reply(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    print("stand-in for", sys.argv[sys.argv.index("--model") + 1], flush=True)
    if "--stand-in-fails" in sys.argv:
        time.sleep(0.3)
        sys.exit("RuntimeError: the device has no such memory")
    if "--stand-in-fails-at-length" in sys.argv:
        cause = "(engine) ValueError: No memory is left for the cache"
        sys.exit("\n".join([cause, *["waited in vain"] * 29, "RuntimeError: the engine did not start"]))
    host, port = (sys.argv[sys.argv.index(name) + 1] for name in ("--host", "--port"))
    ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
