#!/usr/bin/env bash
# @huggingface/jinja 0.5.11 (Node 20) beside jinja2 3.1.6 (Python 3), the engine that chat templates are written for.
#
# Expected: the same text, or an error, for a chat template and its values.
# Seen: other text and no error. Booleans, null, lists and dicts print as JSON does: a template that writes the arguments of a tool call with
# `{{ value }}` gives the model `true` where it was trained on `True`. The remainder of a negative number has another sign, and characters outside the
# BMP count twice.
#
# Needs Node 20, npm, and Python 3 with venv. Exits with 1 if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @huggingface/jinja@0.5.11
python3 -m venv python
python/bin/pip install --quiet jinja2==3.1.6
cat >cases.json <<'JSON'
[
  ["{{ v }}", { "v": true }, "True", "true"],
  ["{{ v }}", { "v": null }, "None", ""],
  ["{{ v }}", { "v": [true, "a"] }, "[True, 'a']", "[true, \"a\"]"],
  ["{{ v }}", { "v": { "a": null } }, "{'a': None}", "{\"a\": null}"],
  ["{{ -7 % 3 }}", {}, "2", "-1"],
  ["{{ v | length }}", { "v": "\ud83d\ude00" }, "1", "2"]
]
JSON
cat >run.py <<'PY'
import json
from jinja2 import Environment
for template, values, wanted, _ in json.load(open("cases.json")):
    got = Environment().from_string(template).render(**values)
    assert got == wanted, f"jinja2: {template} gives {got}, and gave {wanted}"
print("jinja2: as written down")
PY
cat >run.mjs <<'JS'
import { readFileSync } from 'node:fs';
import { Template } from '@huggingface/jinja';

let changed = 0;
for (const [template, values, python, seen] of JSON.parse(readFileSync('cases.json', 'utf8'))) {
  let got;
  try {
    got = new Template(template).render(values);
  } catch {
    got = 'an error';
  }
  console.log(`${template} with ${JSON.stringify(values)}: jinja2 ${JSON.stringify(python)}, @huggingface/jinja ${JSON.stringify(got)}`);
  changed += Number(got !== seen);
}
process.exit(changed ? 1 : 0);
JS
python/bin/python run.py
node run.mjs
