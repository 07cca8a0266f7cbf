"""Many requests at once: every answer and every note is the one that the text gets alone."""

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier


# Long texts are encoded with and without truncation, which is where a tokenizer of several threads went wrong.
TEXTS = [
    f"the film {'was great ' * length}{'dull' if length % 3 else 'music'}"
    for length in (0, 1, 3, 8, 14, 15, 16, 40, 200, 900)
]

_THREADS = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
sys.setswitchinterval(1e-5)
from classifier import classify
from explanation import explain
from tables import classify_rows

work = [(function, text) for _ in range(12) for text in texts for function in ("classify", "explain", "rows")]
answer = {"classify": classify, "explain": explain, "rows": lambda text: [one.cells() for one in classify_rows([(text,), ("",), (text,)])]}

def rounded(value):
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list) else round(value, 4) if isinstance(value, float) else value

alone = {item: rounded(answer[item[0]](item[1])) for item in dict.fromkeys(work)}
with ThreadPoolExecutor(24) as pool:
    found = list(pool.map(lambda item: rounded(answer[item[0]](item[1])), work))
wrong = [item for item, one in zip(work, found) if one != alone[item]]
print(json.dumps({"answers": len(found), "wrong": wrong[:3]}))
"""


def test_threads_get_the_answers_that_they_would_get_alone(app, said_by_the_app):
    said = said_by_the_app(app, f"texts = {TEXTS!r}\n{_THREADS}")
    assert json.loads(said) == {"answers": 360, "wrong": []}


def ask(url: str, endpoint: str, text: str) -> str:
    """The answer over HTTP, as JSON whose numbers are rounded."""
    asked = urllib.request.Request(
        f"{url}/gradio_api/call/{endpoint}",
        json.dumps({"data": [text]}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=600) as response:
        event = json.load(response)["event_id"]
    with urllib.request.urlopen(f"{url}/gradio_api/call/{endpoint}/{event}", timeout=600) as response:
        data = response.read().decode().partition("event: complete\ndata: ")[2].strip()
    return json.dumps(json.loads(data, parse_float=lambda number: round(float(number), 4)))


def test_two_hundred_requests_at_the_same_moment_are_all_answered(app):
    requests = [("explain" if number % 20 == 0 else "classify", TEXTS[number % 9]) for number in range(200)]
    alone = {request: ask(app.url, *request) for request in dict.fromkeys(requests)}
    start = Barrier(len(requests))

    def answered(request: tuple[str, str]) -> str:
        start.wait()
        return ask(app.url, *request)

    with ThreadPoolExecutor(len(requests)) as pool:
        answers = list(pool.map(answered, requests))
    assert [request for request, answer in zip(requests, answers, strict=True) if answer != alone[request]] == []
