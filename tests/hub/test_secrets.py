"""The secrets that the search finds, in every form, and the texts that it passes."""

import base64
import json
import string
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfbertcls.hub.secrets import find_secrets, secrets_in


LETTERS = (string.ascii_letters + string.digits) * 3
TOKEN = "hf" + "_" + LETTERS[5:39]
JWT = ".".join(
    base64.urlsafe_b64encode(part).rstrip(b"=").decode()
    for part in (b'{"alg":"HS256"}', b'{"sub":"12345678"}', b"\1" * 32)
)

# Put together here, so that no scanner of this repository takes them for real.
SECRETS = {
    "a Hugging Face token": [
        TOKEN,
        "hf" + "_oauth_" + LETTERS[:40],
        "hf" + "_jwt_" + JWT,
        "api" + "_org_" + LETTERS[:34],
    ],
    "an AWS access key": ["AKIA" + "Q7" * 8, "ASIA" + "Q7" * 8],
    "an AWS secret key": [
        "aws_secret_access_key = " + (LETTERS[:38] + "/+"),
        '"SecretAccessKey": "' + LETTERS[:40] + '"',
    ],
    "a Google API key": ["AIza" + LETTERS[:35], "GOCSPX" + "-" + LETTERS[:28]],
    "a GitHub token": ["ghp" + "_" + LETTERS[:36], "github" + "_pat_" + LETTERS[:50]],
    "a GitLab token": ["glpat" + "-" + LETTERS[:20]],
    "a Slack token": [
        "xoxb" + "-123456789012-" + LETTERS[:24],
        "https://hooks.slack.com/services/T0000AAAA/B0000AAAA/" + LETTERS[:24],
    ],
    "an OpenAI or Anthropic key": [
        "sk" + "-" + LETTERS[:48],
        "sk" + "-ant-api03-" + LETTERS[:60],
        "sk" + "-ant-" + "x" * 40,
    ],
    "a Stripe key": ["sk" + "_live_" + LETTERS[:24], "rk" + "_test_" + LETTERS[:24]],
    "an npm token": [
        "npm" + "_" + LETTERS[:36],
        "//registry.npmjs.org/:_authToken" + "=" + "1f" * 4 + "-aaaa-bbbb-cccc-" + "1f" * 6,
    ],
    "a PyPI token": ["pypi" + "-AgEIcHlwaS5vcmc" + LETTERS[:80]],
    "a SendGrid or Mailchimp key": ["SG." + LETTERS[:22] + "." + LETTERS[:43], "0f" * 16 + "-us12"],
    "a Telegram token": ["110201543:AA" + LETTERS[:33]],
    "an Azure storage key": ["AccountKey=" + LETTERS[:86] + "=="],
    "a JSON web token": [JWT],
    "a password in an address": [
        "https://user:" + "hunter2@git.example/x.git",
        "postgresql://me:" + "pa55-word@db.example:5432/x",
        "s3://key:" + "secret@bucket",
    ],
    "a private key": ["-----BEGIN " + "OPENSSH PRIVATE KEY-----"],
    "a Square, Twilio or Artifactory key": ["sq0csp-" + LETTERS[:43], "SK" + "0f" * 16, "AKCp" + LETTERS[:50]],
    "a Discord token": ["MTIzNDU2Nzg5MDEyMzQ1Njc4.Ab1dEf." + LETTERS[:27]],
    "an IBM key": [f"ibm_cloud_iam_key = '{LETTERS[:44]}'", f"softlayer_api_key: {'0f' * 32}"],
}
EACH = [(kind, secret) for kind, secrets in SECRETS.items() for secret in secrets]

FORMS = {
    "in a sentence": lambda secret: f"The key is {secret}.".encode(),
    "after a letter": lambda secret: f"x{secret}".encode(),
    "after an underline": lambda secret: f"token_{secret}\n".encode(),
    "UTF-16": lambda secret: f"the key: {secret}\n".encode("utf-16"),
    "UTF-16, the other way": lambda secret: f"x the key: {secret}\n".encode("utf-16-be"),
    "base64": lambda secret: b"auth: " + base64.b64encode(f"user:{secret}".encode()),
    "base64, one on": lambda secret: b"auth: " + base64.b64encode(f"user1:{secret}".encode()),
    "base64, two on": lambda secret: b"auth: " + base64.urlsafe_b64encode(f"user12:{secret}".encode()),
    "Markdown": lambda secret: secret.replace("_", "\\_").encode(),
    "JSON": lambda secret: "".join(f"\\u{ord(letter):04x}" for letter in secret).encode(),
    "an address": lambda secret: "".join(f"%{ord(letter):02X}" for letter in secret).encode(),
}


@pytest.mark.parametrize(("kind", "secret"), EACH, ids=[f"{kind}-{number}" for number, (kind, _) in enumerate(EACH)])
def test_each_kind_is_found(kind, secret):
    assert kind in secrets_in(f"before\n{secret}\nafter".encode())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "secret",
    [TOKEN, SECRETS["a Hugging Face token"][1], SECRETS["a GitHub token"][0], SECRETS["a Stripe key"][0]],
    ids=lambda secret: secret[:9],
)
def test_a_token_is_found_in_each_form(form, secret):
    assert secrets_in(FORMS[form](secret)) != []


@pytest.mark.parametrize("form", FORMS)
def test_the_token_in_use_is_found_whatever_it_looks_like(monkeypatch, form):
    token = "correct_horse-battery_staple"
    assert secrets_in(FORMS[form](token)) == []
    monkeypatch.setenv("HF_TOKEN", token)
    assert secrets_in(FORMS[form](token)) == ["your own access token"]
    assert secrets_in(quote(f"?t={token}").encode()) == ["your own access token"]
    assert secrets_in(FORMS[form](token[::-1])) == []


def test_the_stored_token_is_looked_for_too(monkeypatch, tmp_path):
    (tmp_path / "token").write_text("correct_horse-battery_staple\n")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    assert secrets_in(b"a correct_horse-battery_staple") == ["your own access token"]


def test_what_stands_in_weights_and_in_parquet_is_found(tmp_path):
    noise = np.random.default_rng(0).bytes(3_000_000)
    (tmp_path / "model.safetensors").write_bytes(noise + b"hf" + TOKEN[2:].encode() + noise)
    assert find_secrets(tmp_path / "model.safetensors") == ["a Hugging Face token"]
    pq.write_table(pa.table({"label": ["a", TOKEN] * 50}), tmp_path / "test.parquet")
    assert find_secrets(tmp_path / "test.parquet") == ["a Hugging Face token"]


HARMLESS = [
    "hf_hub_download(repo_id, filename) with HF_TOKEN, hf_xxx or hf_your_token_here",
    "sha256: " + "0f" * 32 + " and " + LETTERS[:40],
    "https://user:password@ is what the scanner looks for; http://localhost:7860/@user is an address",
    "[a](https://a.example:8080/path) mailto:me@a.example git@github.com:a/b.git ssh://git@github.com/a/b",
    "sk-learn-contrib-imbalanced-learn-and-others-in-a-long-name, task-specific-classification-of-short-texts",
    "pypi-install-of-many-packages npm_config_registry AKIAB eyJhbGciOi",
    json.dumps({chr(code): code for code in range(32, 30_000)}),
    "\\u0120the \\u2581model ##ing Ġtoken ▁word",
]


@pytest.mark.parametrize("text", HARMLESS, ids=range(len(HARMLESS)))
def test_what_is_harmless_passes(text):
    assert secrets_in(text.encode()) == []


def test_noise_and_a_model_directory_pass(finished_run, tmp_path):
    (tmp_path / "noise").write_bytes(np.random.default_rng(1).bytes(20_000_000))
    assert find_secrets(tmp_path / "noise") == []
    files = [path for path in finished_run.rglob("*") if path.is_file()]
    assert {str(path): found for path in files if (found := find_secrets(path))} == {}
