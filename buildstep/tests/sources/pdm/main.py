import os

from bottle import Bottle

app = Bottle()


@app.get("/")
def index():
    return "it works\n"


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=int(os.environ["PORT"]))
