"""A web app with one small dependency. It listens on $PORT, logs requests, and ends at once when asked to."""

import json
import os
import signal
import sys

from bottle import Bottle, response

app = Bottle()


@app.get("/")
def index():
    response.content_type = "text/plain; charset=utf-8"
    return f"Hello from {os.environ.get('SLIPWAY_APP', 'Python')}!\n"


@app.get("/healthz")
def healthz():
    response.content_type = "application/json"
    return json.dumps({"status": "ok"})


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    app.run(host="0.0.0.0", port=int(os.environ.get("PORT", "5000")), quiet=False)
